#include "core/tables/checkpoint.h"

#include <atomic>
#include <exception>
#include <functional>
#include <thread>

#include "core/base/error.h"
#include "core/tables/checkpoint_files.h"
#include "core/tables/entry_codec.h"
#include "core/tables/record_file.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

constexpr size_t kSlots = size_t{1} << 15;
constexpr int kMaxShards = 99999;

// Runs body(0..n-1) on the cores there are; throws the first error by number when all have ended.
void InParallel(size_t n, const std::function<void(size_t)>& body) {
  std::vector<std::exception_ptr> errors(n);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < n;) {
      try {
        body(i);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  std::vector<std::thread> threads;
  const size_t cores = std::max(1u, std::thread::hardware_concurrency());
  for (size_t t = 1; t < std::min(n, cores); ++t) threads.emplace_back(work);
  work();
  for (auto& t : threads) t.join();
  for (const auto& e : errors)
    if (e) std::rethrow_exception(e);
}

// How long the rows of each slot are kept, in seconds.
class Expiry {
 public:
  explicit Expiry(const TableConfig& config) : seconds_(kSlots, int64_t{config.default_expire_days} * 86400) {
    for (const auto& [slot, days] : config.slot_expire_days) seconds_[slot] = int64_t{days} * 86400;
  }
  bool Expired(const EmbeddingTable::Row& row, uint32_t newest) const {
    const size_t slot = (static_cast<uint64_t>(row.key) >> 48) & (kSlots - 1);
    return int64_t{newest} - int64_t{row.timestamp} >= seconds_[slot];
  }

 private:
  std::vector<int64_t> seconds_;
};

// Writes one shard of one table; returns how many rows it has.
uint64_t WriteShard(const EmbeddingTable& table, const EmbeddingTable::Freeze& frozen, const Expiry& expiry, size_t shard,
                    size_t shards, RecordFileWriter* out) {
  const EntryCodec codec(table.config().name, table.plan());
  const uint32_t newest = table.max_update_ts();
  std::string message;
  uint64_t written = 0;
  size_t offset = 0;
  frozen.Walk(shard, shards, &offset, SIZE_MAX, [&](const EmbeddingTable::Row& row) {
    if (expiry.Expired(row, newest)) return true;
    message.clear();
    codec.Append(row, &message);
    out->Write(message);
    ++written;
    return true;
  });
  return written;
}

// Decodes records and puts them into a table many at a time.
class RowLoader {
 public:
  explicit RowLoader(EmbeddingTable* table) : table_(*table), codec_(table->config().name, table->plan()) {
    rows_.resize(kBatch * size_t(table->plan().row_floats()));
  }

  void Add(std::string_view message) {
    const EntryCodec::Entry e = codec_.Decode(message, rows_.data() + keys_.size() * size_t(table_.plan().row_floats()));
    keys_.push_back(e.key);
    timestamps_.push_back(static_cast<uint32_t>(e.timestamp));
    newest_ = std::max(newest_, timestamps_.back());
    if (keys_.size() == kBatch) Flush();
  }
  void Flush() {
    table_.PutRows(keys_.data(), keys_.size(), rows_.data(), timestamps_.data());
    keys_.clear();
    timestamps_.clear();
  }
  void Finish() {
    Flush();
    table_.RaiseMaxUpdateTs(newest_);
  }

 private:
  static constexpr size_t kBatch = 512;
  EmbeddingTable& table_;
  EntryCodec codec_;
  std::vector<int64_t> keys_;
  std::vector<uint32_t> timestamps_;
  std::vector<float> rows_;
  uint32_t newest_ = 0;
};

// What a record's content throws becomes an error with file and offset.
template <class Body>
void AtRecord(const RecordFileReader& reader, Body body) {
  try {
    body();
  } catch (const Error& e) {
    throw Error(e.code(), reader.Where() + ": " + e.what());
  }
}

struct TableEntries {
  std::string name;
  uint64_t entries = 0;
};

TableEntries DecodeMeta(std::string_view message) {
  TableEntries t;
  bool has_name = false;
  wire::Field f;
  for (wire::Reader r(message); r.Next(&f);) {
    if (f.number == 1 && f.type == wire::Type::kBytes) t.name = f.bytes, has_name = true;
    if (f.number == 2 && f.type == wire::Type::kVarint) t.entries = f.scalar;
  }
  if (!has_name) throw BadRecord("the table has no name");
  return t;
}

void ReadMultiShard(MultiTable* tables, const std::string& data, const std::string& meta) {
  RecordFileReader entries(data, Container::kSnappyBlocks), headers(meta, Container::kPlain);
  std::string_view header, message;
  while (headers.Next(&header)) {
    TableEntries t;
    AtRecord(headers, [&] { t = DecodeMeta(header); });
    const int index = tables->IndexOf(t.name);
    std::unique_ptr<RowLoader> loader;
    if (index >= 0) loader = std::make_unique<RowLoader>(&tables->table(static_cast<size_t>(index)));
    for (uint64_t i = 0; i < t.entries; ++i) {
      if (!entries.Next(&message))
        throw Error(ErrorCode::kBadData, data + ": ends after " + std::to_string(i) + " of the " + std::to_string(t.entries) +
                                             " entries that " + meta + " has for table '" + t.name + "'");
      if (loader) AtRecord(entries, [&] { loader->Add(message); });
    }
    if (loader) loader->Finish();
  }
  if (entries.Next(&message)) throw Error(ErrorCode::kBadData, entries.Where() + ": there are more entries than " + meta + " tells of");
}

size_t ShardCount(int asked, size_t size) {
  if (asked > kMaxShards)
    throw Error(ErrorCode::kUsage, "a checkpoint has at most " + std::to_string(kMaxShards) + " shards, not " + std::to_string(asked));
  return static_cast<size_t>(asked > 0 ? asked : AutoShards(size));
}

}  // namespace

int AutoShards(size_t size) { return static_cast<int>(std::min<size_t>(4, std::max<size_t>(1, size / 1000000))); }

void SaveTable(const EmbeddingTable& table, const std::string& basename, int asked) {
  const size_t shards = ShardCount(asked, table.size());
  const Expiry expiry(table.config());
  FileSet files(basename);
  std::vector<std::unique_ptr<RecordFileWriter>> writers;
  for (size_t k = 0; k < shards; ++k)
    writers.push_back(std::make_unique<RecordFileWriter>(files.Temporary(ShardName(basename, k, shards)), Container::kPlain));
  {
    const EmbeddingTable::Freeze frozen(table);
    InParallel(shards, [&](size_t k) {
      WriteShard(table, frozen, expiry, k, shards, writers[k].get());
      writers[k]->Finish();
    });
  }
  InParallel(shards, [&](size_t k) { writers[k]->Sync(); });
  writers.clear();
  files.Publish({basename});
}

void RestoreTable(EmbeddingTable* table, const std::string& basename) {
  FinishPublish(basename);
  const std::vector<std::string> shards = FindShards(basename);
  table->Clear();
  try {
    InParallel(shards.size(), [&](size_t k) {
      RecordFileReader reader(shards[k], Container::kPlain);
      RowLoader loader(table);
      std::string_view message;
      while (reader.Next(&message)) AtRecord(reader, [&] { loader.Add(message); });
      loader.Finish();
    });
  } catch (...) {
    table->Clear();
    throw;
  }
}

void MultiTable::Save(const std::string& basename, int asked) const {
  size_t size = 0;
  for (const auto& t : tables_) size += t->size();
  const size_t shards = ShardCount(asked, size);
  // One config of expiry holds for all tables: the first there is.
  TableConfig none;
  const TableConfig* expire = &none;
  for (auto t = tables_.rbegin(); t != tables_.rend(); ++t) {
    const TableConfig& c = (*t)->config();
    if (c.has_expire_config || c.default_expire_days != none.default_expire_days || !c.slot_expire_days.empty()) expire = &c;
  }
  const Expiry expiry(*expire);

  FileSet files(basename);
  std::vector<std::unique_ptr<RecordFileWriter>> data, meta;
  for (size_t k = 0; k < shards; ++k)
    data.push_back(std::make_unique<RecordFileWriter>(files.Temporary(ShardName(basename, k, shards)), Container::kSnappyBlocks));
  // Named last: until the last of them is there, the set is not whole.
  for (size_t k = 0; k < shards; ++k)
    meta.push_back(std::make_unique<RecordFileWriter>(files.Temporary(ShardName(basename + ".meta", k, shards)), Container::kPlain));
  {
    std::vector<std::unique_ptr<EmbeddingTable::Freeze>> frozen;
    for (const auto& t : tables_) frozen.push_back(std::make_unique<EmbeddingTable::Freeze>(*t));
    InParallel(shards, [&](size_t k) {
      std::string message;
      for (size_t i = 0; i < tables_.size(); ++i) {
        const uint64_t entries = WriteShard(*tables_[i], *frozen[i], expiry, k, shards, data[k].get());
        message.clear();
        wire::Writer w(&message);
        w.Bytes(1, tables_[i]->config().name);
        w.Varint(2, entries);
        meta[k]->Write(message);
      }
      data[k]->Finish();
      meta[k]->Finish();
    });
  }
  InParallel(shards, [&](size_t k) {
    data[k]->Sync();
    meta[k]->Sync();
  });
  data.clear();
  meta.clear();
  files.Publish({basename, basename + ".meta"});
}

void MultiTable::Restore(const std::string& basename) {
  FinishPublish(basename);
  const std::vector<std::string> data = FindShards(basename), meta = FindShards(basename + ".meta");
  if (data.size() != meta.size())
    throw Error(ErrorCode::kBadData, basename + ": " + std::to_string(data.size()) + " data files but " + std::to_string(meta.size()) +
                                         " metadata files: the checkpoint is not whole");
  const auto clear = [&] {
    for (auto& t : tables_) t->Clear();
  };
  clear();
  try {
    InParallel(data.size(), [&](size_t k) { ReadMultiShard(this, data[k], meta[k]); });
  } catch (...) {
    clear();
    throw;
  }
}

}  // namespace monolith
