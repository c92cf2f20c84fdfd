#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/tables/checkpoint.h"
#include "core/tables/entry_codec.h"
#include "core/tables/expiry.h"
#include "core/tables/parallel.h"
#include "core/tables/save_chain.h"
#include "core/tables/set_writer.h"
#include "core/tables/snapshot.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

constexpr int kMaxShards = 99999;
constexpr size_t kErasedKeys = 16384;  // in one record

using Snapshots = std::vector<std::unique_ptr<TableSnapshot>>;

// What is saved: tables as of one instant.
struct Image {
  Image(std::vector<const EmbeddingTable*> t, bool changed_only) : tables(std::move(t)), rows(TableSnapshot::Take(tables, changed_only)) {
    for (const EmbeddingTable* table : tables) newest.push_back(table->max_update_ts());
  }
  size_t size() const {
    size_t n = 0;
    for (const auto& s : rows) n += s->size();
    return n;
  }
  std::vector<const EmbeddingTable*> tables;
  Snapshots rows;
  std::vector<uint32_t> newest;
};

// Writes the rows of one shard of one table; returns how many. Keys of expired rows go to `expired` where it is given.
uint64_t WriteRows(const Image& image, size_t table, const Expiry& expiry, size_t shard, size_t shards, RecordFileWriter* out,
                   std::vector<int64_t>* expired) {
  const EmbeddingTable& t = *image.tables[table];
  const EntryCodec codec(t.config().name, t.plan());
  uint64_t written = 0;
  image.rows[table]->Walk(shard, shards, [&](const EmbeddingTable::Row& row) {
    if (expiry.Expired(row.key, row.timestamp, image.newest[table])) {
      if (expired) expired->push_back(row.key);
      return;
    }
    out->Commit(codec.Encode(row, out->Reserve(codec.max_size())));
    ++written;
  });
  return written;
}

void WriteErased(const int64_t* keys, size_t n, RecordFileWriter* out) {
  for (size_t at = 0; at < n; at += kErasedKeys) {
    const size_t m = std::min(kErasedKeys, n - at);
    char* p = out->Reserve(m * sizeof(int64_t));
    for (size_t i = 0; i < m; ++i) StoreLe(p + i * sizeof(int64_t), keys[at + i]);
    out->Commit(m * sizeof(int64_t));
  }
}

// One config of expiry holds for all tables: the first there is.
Expiry ExpiryOf(const std::vector<const EmbeddingTable*>& tables) {
  const TableConfig none;
  const TableConfig* expire = &none;
  for (auto t = tables.rbegin(); t != tables.rend(); ++t) {
    const TableConfig& c = (*t)->config();
    if (c.has_expire_config || c.default_expire_days != none.default_expire_days || !c.slot_expire_days.empty()) expire = &c;
  }
  return Expiry(*expire);
}

// `keep_image`: it is committed afterwards; else it is let go of before the disk is waited for.
Manifest WriteWhole(Image* whole, const std::string& basename, int asked, bool keep_image) {
  const Image& image = *whole;
  const size_t shards = ShardCount(asked, image.size());
  const Expiry expiry = ExpiryOf(image.tables);
  SetWriter files(basename);
  std::vector<RecordFileWriter*> data, meta;
  for (size_t k = 0; k < shards; ++k) data.push_back(files.Add(ShardName(basename, k, shards), Container::kSnappyBlocks));
  for (size_t k = 0; k < shards; ++k) meta.push_back(files.Add(ShardName(basename + ".meta", k, shards), Container::kPlain));
  InParallel(shards, [&](size_t k) {
    std::string message;
    for (size_t i = 0; i < image.tables.size(); ++i) {
      const uint64_t entries = WriteRows(image, i, expiry, k, shards, data[k], nullptr);
      message.clear();
      wire::Writer w(&message);
      w.Bytes(1, image.tables[i]->config().name);
      w.Varint(2, entries);
      meta[k]->Write(message);
    }
    data[k]->Finish();
    meta[k]->Finish();
  });
  if (!keep_image) whole->rows.clear();
  return files.Publish();
}

Manifest WriteDelta(const Image& image, const std::string& basename, int asked, std::vector<ManifestLink> chain) {
  const size_t shards = ShardCount(asked, image.size());
  const Expiry expiry = ExpiryOf(image.tables);
  SetWriter files(basename);
  std::vector<RecordFileWriter*> data;
  for (size_t k = 0; k < shards; ++k) data.push_back(files.Add(DeltaName(basename, k, shards), Container::kSnappyBlocks));
  std::vector<std::vector<ManifestSection>> sections(shards);
  InParallel(shards, [&](size_t k) {
    std::vector<int64_t> expired;
    for (size_t i = 0; i < image.tables.size(); ++i) {
      expired.clear();
      ManifestSection s;
      s.table = image.tables[i]->config().name;
      s.rows = WriteRows(image, i, expiry, k, shards, data[k], &expired);
      const std::vector<int64_t>& erased = image.rows[i]->erased();
      const auto [begin, end] = ShardRange(erased.size(), k, shards);
      WriteErased(erased.data() + begin, end - begin, data[k]);
      WriteErased(expired.data(), expired.size(), data[k]);
      s.erased = end - begin + expired.size();
      sections[k].push_back(std::move(s));
    }
    data[k]->Finish();
  });
  return files.Publish(std::move(chain), std::move(sections));
}

std::vector<const EmbeddingTable*> TablesOf(const MultiTable& m) {
  std::vector<const EmbeddingTable*> tables;
  for (size_t i = 0; i < m.num_tables(); ++i) tables.push_back(&m.table(i));
  return tables;
}

}  // namespace

int AutoShards(size_t size) { return static_cast<int>(std::min<size_t>(4, std::max<size_t>(1, size / 1000000))); }

size_t ShardCount(int asked, size_t size) {
  if (asked > kMaxShards)
    throw Error(ErrorCode::kUsage, "a checkpoint has at most " + std::to_string(kMaxShards) + " shards, not " + std::to_string(asked));
  return static_cast<size_t>(asked > 0 ? asked : AutoShards(size));
}

void SaveTable(const EmbeddingTable& table, const std::string& basename, int asked) {
  Image image({&table}, false);
  const size_t shards = ShardCount(asked, image.size());
  const Expiry expiry(table.config());
  SetWriter files(basename);
  std::vector<RecordFileWriter*> data;
  for (size_t k = 0; k < shards; ++k) data.push_back(files.Add(ShardName(basename, k, shards), Container::kPlain));
  InParallel(shards, [&](size_t k) {
    WriteRows(image, 0, expiry, k, shards, data[k], nullptr);
    data[k]->Finish();
  });
  image.rows.clear();
  files.Publish();
}

void MultiTable::Save(const std::string& basename, int shards) const {
  Image image(TablesOf(*this), false);
  WriteWhole(&image, basename, shards, false);
}

namespace {

// With the mutex of the chain held.
void WriteBase(const MultiTable& tables, const std::string& basename, int shards, SaveChain* chain) {
  chain->links.clear();
  Image image(TablesOf(tables), false);
  const Manifest m = WriteWhole(&image, basename, shards, true);
  for (const auto& s : image.rows) s->Commit();
  chain->links = {{basename, m.crc32c}};
}

}  // namespace

void MultiTable::SaveBase(const std::string& basename, int shards) {
  std::lock_guard<std::mutex> lock(chain_->mutex);
  for (auto& t : tables_) t->TrackChanges(true);
  WriteBase(*this, basename, shards, chain_.get());
}

bool MultiTable::SaveDelta(const std::string& basename, int shards) {
  std::lock_guard<std::mutex> lock(chain_->mutex);
  std::vector<ManifestLink> chain;
  bool taken = chain_->links.empty();
  for (const auto& [name, crc] : chain_->links) {
    taken |= name == basename;  // a link would be lost
    chain.push_back({RelativeBasename(name, basename), crc});
  }
  if (taken) {
    for (auto& t : tables_) t->TrackChanges(true);
    WriteBase(*this, basename, shards, chain_.get());
    return false;
  }
  const Image image(TablesOf(*this), true);
  const Manifest m = WriteDelta(image, basename, shards, std::move(chain));  // after an error the changes count again
  for (const auto& s : image.rows) s->Commit();
  chain_->links.emplace_back(basename, m.crc32c);
  return true;
}

void MultiTable::EndChain() {
  std::lock_guard<std::mutex> lock(chain_->mutex);
  chain_->links.clear();
}

}  // namespace monolith
