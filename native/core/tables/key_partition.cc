#include "core/tables/key_partition.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/tables/key_hash.h"

namespace monolith {
namespace {

constexpr size_t kHeader = 16;  // key, table, source

}  // namespace

// A string that grows may hold twice what is in it, so a quarter each for what waits and for the batch.
KeyPartition::KeyPartition(std::string directory, size_t memory)
    : directory_(std::move(directory)), memory_(memory / 4), first_(std::make_shared<RowSpool>(directory_, memory_)) {}

void KeyPartition::Append(RowSpool* spool, int depth, int64_t key, std::string_view record) {
  spool->Append(HashKey(key) >> (56 - 8 * depth) & 0xFF, record);
}

void KeyPartition::Add(const Row& row) {
  record_.resize(kHeader);
  StoreLe(record_.data(), row.key);
  StoreLe(record_.data() + 8, row.table);
  StoreLe(record_.data() + 12, row.source);
  record_.append(row.message);
  Append(first_.get(), 0, row.key, record_);
}

void KeyPartition::Enqueue(std::shared_ptr<RowSpool> spool, int depth) {
  for (size_t lane = spool->lanes(); lane-- > 0;)
    if (spool->records(lane)) work_.push_back({spool, lane, depth});
}

std::shared_ptr<RowSpool> KeyPartition::Part(const Work& work) const {
  auto parts = std::make_shared<RowSpool>(directory_, memory_);
  RowSpool::Reader reader(*work.spool, work.lane);
  for (std::string_view record; reader.Next(&record);) Append(parts.get(), work.depth + 1, LoadLe<int64_t>(record.data()), record);
  return parts;
}

bool KeyPartition::NextBatch(std::vector<Row>* rows) {
  if (!reading_) Enqueue(std::move(first_), 0), reading_ = true;
  rows->clear();
  while (!work_.empty()) {
    const Work work = std::move(work_.back());
    work_.pop_back();
    if (work.spool->bytes(work.lane) > memory_ && work.depth < kDepth) {
      Enqueue(Part(work), work.depth + 1);
      continue;
    }
    batch_.clear();
    batch_.reserve(work.spool->bytes(work.lane));  // views must not move
    RowSpool::Reader reader(*work.spool, work.lane);
    for (std::string_view record; reader.Next(&record);) {
      const std::string_view kept(batch_.data() + batch_.size(), record.size());
      batch_.append(record);
      rows->push_back({LoadLe<int64_t>(kept.data()), LoadLe<uint32_t>(kept.data() + 8), LoadLe<uint32_t>(kept.data() + 12),
                       kept.substr(kHeader)});
    }
    std::stable_sort(rows->begin(), rows->end(),
                     [](const Row& a, const Row& b) { return a.table != b.table ? a.table < b.table : a.key < b.key; });
    return true;
  }
  return false;
}

}  // namespace monolith
