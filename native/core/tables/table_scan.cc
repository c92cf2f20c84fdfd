#include "core/tables/table_scan.h"

#include <algorithm>
#include <cmath>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/tables/key_hash.h"

namespace monolith {

TableSummary& TableScan::At(size_t table) {
  while (tables_.size() <= table) {
    tables_.emplace_back();
    tables_.back().name = stream_.Tables()[tables_.size() - 1];
  }
  return tables_[table];
}

std::vector<TableSummary>& TableScan::Summaries() {
  const size_t n = stream_.Tables().size();
  if (n) At(n - 1);
  return tables_;
}

void TableScan::Find(const std::string& what) {
  ++damages_;
  if (findings_.size() < kMaxFindings) findings_.push_back(what);
}

bool TableScan::Step(size_t rows) {
  for (size_t i = 0; i < rows; ++i) {
    try {
      if (Row()) continue;
    } catch (const Error& e) {
      if (!verify_ || e.code() != ErrorCode::kBadData) throw;
      Find(e.what());
      continue;
    }
    if (verify_) CountDuplicates();
    return false;
  }
  return true;
}

bool TableScan::Row() {
  if (!stream_.Next(&entry_)) return false;
  TableSummary& table = At(stream_.table());
  CheckShape(&table);
  Count(&table);
  if (!verify_) return true;
  Remember(stream_.table());
  if (!entry_.Finite())
    Find(stream_.Where() + ": table '" + table.name + "', key " + std::to_string(entry_.key) + ": a value is not finite");
  return true;
}

void TableScan::CheckShape(TableSummary* table) const {
  try {
    table->shape.Check(entry_);
  } catch (const BadRecord& e) {
    throw Error(ErrorCode::kBadData,
                stream_.Where() + ": table '" + table->name + "', key " + std::to_string(entry_.key) + ": " + e.what());
  }
}

void TableScan::Count(TableSummary* t) {
  ++t->keys;
  t->bytes += stream_.message_bytes();
  ++t->slots[static_cast<uint32_t>(static_cast<uint64_t>(entry_.key) >> 48 & 0x7FFF)];
  if (entry_.timestamp == 0) {
    ++t->never_updated;
  } else {
    const bool first = t->keys - t->never_updated == 1;
    t->oldest = first ? entry_.timestamp : std::min(t->oldest, entry_.timestamp);
    t->newest = first ? entry_.timestamp : std::max(t->newest, entry_.timestamp);
    const auto& bounds = TableSummary::kAgeBounds;
    // Compared without a subtraction: a time may be any number.
    const size_t bin = static_cast<size_t>(
        std::find_if(bounds.begin(), bounds.end(), [&](int64_t b) { return entry_.timestamp > now_ - b; }) - bounds.begin());
    ++t->ages[bin];
  }
  double square = 0;
  for (const float v : entry_.weights) square += double{v} * v;
  const double norm = std::sqrt(square);
  if (!entry_.Finite()) ++t->non_finite;
  if (!std::isfinite(norm)) return;
  t->norm_sum += norm;
  t->norm_max = std::max(t->norm_max, norm);
  if (norm == 0) return void(++t->zero_norms);
  const int bin = std::ilogb(norm) + TableSummary::kNormZero;
  ++t->norms[static_cast<size_t>(std::clamp(bin, 0, TableSummary::kNorms - 1))];
}

void TableScan::Remember(size_t table) {
  const std::string_view key(reinterpret_cast<const char*>(&entry_.key), sizeof entry_.key);
  keys_.Append(table * kKeyLanes + HashKey(entry_.key) % kKeyLanes, key);
}

void TableScan::CountDuplicates() {
  std::vector<int64_t> keys;
  for (size_t lane = 0; lane < keys_.lanes(); ++lane) {
    keys.clear();
    RowSpool::Reader reader(keys_, lane);
    for (std::string_view key; reader.Next(&key);) keys.push_back(LoadLe<int64_t>(key.data()));
    std::sort(keys.begin(), keys.end());
    const auto distinct = std::unique(keys.begin(), keys.end()) - keys.begin();
    At(lane / kKeyLanes).duplicates += keys.size() - static_cast<size_t>(distinct);
  }
}

}  // namespace monolith
