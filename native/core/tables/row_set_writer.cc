#include "core/tables/row_set_writer.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/base/stop.h"
#include "core/tables/checkpoint.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

constexpr size_t kAutoLanes = 4;  // the most shards that AutoShards gives

}  // namespace

RowSetWriter::RowSetWriter(std::string basename, const std::vector<std::string>& tables, RowSetOptions options)
    : basename_(std::move(basename)), options_(std::move(options)), tables_(tables), files_(basename_) {
  if (options_.ordered) {
    order_.resize(tables_.size());
    std::iota(order_.begin(), order_.end(), 0);
    OpenShards(static_cast<size_t>(options_.shards));
  } else {
    spool_ = std::make_unique<RowSpool>(options_.spool_directory, options_.memory);
  }
}

size_t RowSetWriter::Table(const std::string& name) {
  const auto found = std::find(tables_.begin(), tables_.end(), name);
  if (found != tables_.end()) return static_cast<size_t>(found - tables_.begin());
  tables_.push_back(name);
  return tables_.size() - 1;
}

void RowSetWriter::Add(size_t table, uint64_t shard, std::string_view message) {
  ++rows_;
  if (!options_.ordered) {
    const size_t lanes = options_.shards ? static_cast<size_t>(options_.shards) : kAutoLanes;
    return spool_->Append(table * lanes + shard % lanes, message);
  }
  Shard& s = shards_[shard % shards_.size()];
  if (s.table != table) Advance(&s, table);
  s.data->Write(message);
  ++s.entries;
}

void RowSetWriter::OpenShards(size_t n) {
  for (size_t k = 0; k < n; ++k) {
    Shard s;
    const Container container = options_.single ? Container::kPlain : Container::kSnappyBlocks;
    s.data = files_.Add(ShardName(basename_, k, n), container);
    if (!options_.single) s.meta = files_.Add(ShardName(basename_ + ".meta", k, n), Container::kPlain);
    shards_.push_back(s);
  }
}

// Ends tables up to `table`, which is the next to be written.
void RowSetWriter::Advance(Shard* shard, size_t table) {
  if (table < shard->table) throw Error(ErrorCode::kInternal, basename_ + ": rows of a table come after those of a later one");
  std::string message;
  for (; shard->table < table; ++shard->table, shard->entries = 0) {
    if (!shard->meta) continue;
    message.clear();
    wire::Writer w(&message);
    w.Bytes(1, tables_[order_[shard->table]]);
    w.Varint(2, shard->entries);
    shard->meta->Write(message);
  }
}

void RowSetWriter::Close(Shard* shard) {
  Advance(shard, tables_.size());
  shard->data->Finish();
  if (shard->meta) shard->meta->Finish();
}

void RowSetWriter::WriteSpooled() {
  const size_t lanes = options_.shards ? static_cast<size_t>(options_.shards) : kAutoLanes;
  const size_t n = options_.shards ? lanes : static_cast<size_t>(AutoShards(rows_));
  order_.resize(tables_.size());
  std::iota(order_.begin(), order_.end(), 0);
  if (options_.sort_tables) std::sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return tables_[a] < tables_[b]; });
  OpenShards(n);
  for (size_t k = 0; k < n; ++k) {
    Shard& s = shards_[k];
    for (size_t place = 0; place < order_.size(); ++place) {
      Advance(&s, place);
      for (size_t lane = k; lane < lanes; lane += n) {
        RowSpool::Reader reader(*spool_, order_[place] * lanes + lane);
        for (std::string_view message; reader.Next(&message); ++s.entries) {
          if (s.entries % 4096 == 0 && StopRequested()) throw Interrupted();
          s.data->Write(message);
        }
      }
    }
    Close(&s);
  }
}

void RowSetWriter::Finish() {
  if (!options_.ordered) WriteSpooled();
  else
    for (Shard& s : shards_) Close(&s);
  shards_.clear();
  spool_.reset();
}

void RowSetWriter::Publish() { files_.Publish(); }

}  // namespace monolith
