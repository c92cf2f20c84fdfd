#include "core/tables/table_merge.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/tables/key_hash.h"
#include "core/tables/table_copy.h"

namespace monolith {

OnDuplicate ParseOnDuplicate(const std::string& name) {
  static constexpr const char* kNames[] = {"newest", "first", "last", "sum", "mean", "fail"};
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<OnDuplicate>(i);
  throw Error(ErrorCode::kUsage, "--on-duplicate " + name + ": give newest, first, last, sum, mean or fail");
}

TableMerge::TableMerge(MergeOptions options) : options_(std::move(options)), partition_(options_.spool_directory, options_.memory / 2) {
  for (size_t i = 0; i < options_.inputs.size(); ++i) {
    EntryStream stream(options_.inputs[i]);
    if (i > 0 && single_ == stream.multi())
      throw Error(ErrorCode::kUsage, options_.inputs[i] + " and " + options_.inputs[0] + " are not of one form: one is a single table");
    single_ = !stream.multi();
    for (const std::string& table : stream.Tables())
      if (std::find(tables_.begin(), tables_.end(), table) == tables_.end()) tables_.push_back(table);
  }
  if (single_ && tables_.size() > 1) tables_.resize(1);  // parts of one table are named after their files
  std::sort(tables_.begin(), tables_.end());
  for (const std::string& table : tables_) counts_.push_back({table, 0, 0});
  shapes_.resize(tables_.size());
  RowSetOptions set;
  set.single = single_;
  set.shards = options_.shards;
  set.spool_directory = options_.spool_directory;
  set.memory = options_.memory / 4 / std::max<size_t>(1, options_.outputs.size());
  for (const std::string& output : options_.outputs) out_.push_back(std::make_unique<RowSetWriter>(output, tables_, set));
}

bool TableMerge::Step(size_t rows) {
  for (size_t i = 0; reading_ && i < rows; ++i) reading_ = ReadRow();
  if (reading_) return true;
  if (!partition_.NextBatch(&batch_)) return false;
  WriteBatch();
  return true;
}

bool TableMerge::ReadRow() {
  while (!in_ || !in_->Next(&entry_)) {
    if (input_ == options_.inputs.size()) return false;
    in_ = std::make_unique<EntryStream>(options_.inputs[input_++]);
    numbers_.clear();
    for (const std::string& table : in_->Tables())
      numbers_.push_back(single_ ? 0 : static_cast<size_t>(std::find(tables_.begin(), tables_.end(), table) - tables_.begin()));
  }
  const size_t table = numbers_[in_->table()];
  CheckShape(table);
  partition_.Add({entry_.key, static_cast<uint32_t>(table), static_cast<uint32_t>(input_ - 1), in_->message()});
  return true;
}

void TableMerge::CheckShape(size_t table) {
  try {
    shapes_[table].Check(entry_);
  } catch (const BadRecord& e) {
    throw Error(ErrorCode::kBadData,
                in_->Where() + ": table '" + tables_[table] + "', key " + std::to_string(entry_.key) + ": " + e.what());
  }
}

void TableMerge::WriteBatch() {
  for (size_t i = 0, end; i < batch_.size(); i = end) {
    for (end = i + 1; end < batch_.size() && batch_[end].key == batch_[i].key && batch_[end].table == batch_[i].table;) ++end;
    if (end == i + 1) Put(batch_[i], batch_[i].message);
    else Resolve(batch_.data() + i, end - i);
  }
}

void TableMerge::Resolve(const KeyPartition::Row* rows, size_t n) {
  counts_[rows->table].duplicates += n;
  if (options_.on_duplicate == OnDuplicate::kFail)
    throw Error(ErrorCode::kBadData, options_.inputs[rows[1].source] + ": table '" + tables_[rows->table] + "', key " +
                                         std::to_string(rows->key) + " is in " + options_.inputs[rows[0].source] + " too");
  if (options_.on_duplicate == OnDuplicate::kFirst) return Put(rows[0], rows[0].message);
  if (options_.on_duplicate == OnDuplicate::kLast) return Put(rows[n - 1], rows[n - 1].message);
  // Of rows of one time the last input's is the newest.
  size_t newest = 0;
  int64_t time = 0;
  for (size_t i = 0; i < n; ++i) {
    const int64_t t = ReadEntryHead(rows[i].message).timestamp;
    if (i == 0 || t >= time) newest = i, time = t;
  }
  if (options_.on_duplicate == OnDuplicate::kNewest) return Put(rows[newest], rows[newest].message);
  Combine(rows, n, rows[newest]);
}

void TableMerge::Combine(const KeyPartition::Row* rows, size_t n, const KeyPartition::Row& newest) {
  entry_.Parse(newest.message);
  sums_.assign(entry_.weights.size(), 0);
  for (size_t i = 0; i < n; ++i) {
    other_.Parse(rows[i].message);
    for (size_t k = 0; k < sums_.size(); ++k) sums_[k] += other_.weights[k];
  }
  const double divisor = options_.on_duplicate == OnDuplicate::kMean ? static_cast<double>(n) : 1;
  for (size_t k = 0; k < sums_.size(); ++k) entry_.weights[k] = static_cast<float>(sums_[k] / divisor);
  message_.clear();
  writer_.Append(entry_, &message_);
  Put(newest, message_);
}

void TableMerge::Put(const KeyPartition::Row& row, std::string_view message) {
  ++counts_[row.table].rows;
  out_[PartOf(row.key, out_.size())]->Add(row.table, HashKey(row.key), message);
}

void TableMerge::Finish() {
  for (auto& set : out_) set->Finish();
}

void TableMerge::Publish() {
  for (auto& set : out_) set->Publish();
}

}  // namespace monolith
