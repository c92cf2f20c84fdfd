#include "core/tables/table_copy.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/tables/key_hash.h"

namespace monolith {

TableCopy::TableCopy(CopyOptions options) : options_(std::move(options)) {
  for (const std::string& input : options_.inputs) {
    EntryStream stream(input);
    single_ = !stream.multi();
    for (const std::string& table : stream.Tables())
      if (std::find(tables_.begin(), tables_.end(), table) == tables_.end()) tables_.push_back(table);
  }
  if (single_) tables_.resize(1);  // parts of one table are named after their files
  newest_.resize(tables_.size());
  counts_.resize(tables_.size());
  for (size_t i = 0; i < tables_.size(); ++i) counts_[i].table = tables_[i];
  pre_pass_ = options_.rules.needs_newest();
  if (!pre_pass_) OpenOutputs();
  NextInput();
}

void TableCopy::OpenOutputs() {
  const size_t parts = options_.outputs.size();
  const bool alone = options_.inputs.size() == 1 && parts == 1;
  for (size_t i = 0; i < parts; ++i) {
    const EntryStream input(options_.inputs[std::min(i, options_.inputs.size() - 1)]);
    RowSetOptions set;
    set.single = single_;
    keep_shards_ = alone && !input.chained() && (options_.shards == 0 || static_cast<size_t>(options_.shards) == input.shards());
    set.ordered = keep_shards_;
    set.shards = options_.shards ? options_.shards : parts == options_.inputs.size() ? static_cast<int>(input.shards()) : 0;
    set.spool_directory = options_.spool_directory;
    set.memory = options_.memory / 2 / parts;
    out_.push_back(std::make_unique<RowSetWriter>(
        options_.outputs[i], tables_, set));
  }
}

bool TableCopy::NextInput() {
  if (input_ == options_.inputs.size()) {
    if (!pre_pass_) return false;
    pre_pass_ = false;
    input_ = 0;
    OpenOutputs();
  }
  in_ = std::make_unique<EntryStream>(options_.inputs[input_++]);
  numbers_.clear();
  for (const std::string& table : in_->Tables()) numbers_.push_back(single_ ? 0 : Number(table));
  return true;
}

size_t TableCopy::Number(const std::string& table) {
  return static_cast<size_t>(std::find(tables_.begin(), tables_.end(), table) - tables_.begin());
}

bool TableCopy::Step(size_t rows) {
  for (size_t i = 0; i < rows; ++i)
    if (!(pre_pass_ ? Newest() : Row()) && !NextInput()) return false;
  return true;
}

bool TableCopy::Newest() {
  if (!in_->Next(&entry_)) return false;
  int64_t& newest = newest_[numbers_[in_->table()]];
  newest = std::max(newest, entry_.timestamp);
  return true;
}

bool TableCopy::Row() {
  if (!in_->Next(&entry_)) return false;
  const size_t table = numbers_[in_->table()];
  const size_t was = PartOf(entry_.key, options_.inputs.size());
  if (was != input_ - 1)
    throw Error(ErrorCode::kBadData, in_->Where() + ": key " + std::to_string(entry_.key) + " is not one of part " + std::to_string(input_ - 1) +
                                         " of " + std::to_string(options_.inputs.size()) + ": these are not the files of so many parameter servers");
  Counts& count = counts_[table];
  auto& slot = count.slots[static_cast<uint32_t>(static_cast<uint64_t>(entry_.key) >> 48 & 0x7FFF)];
  const bool goes = options_.rules.Goes(tables_[table], entry_, newest_[table]);
  ++count.rows, ++slot.first;
  count.gone += goes, slot.second += goes;
  if (goes || out_.empty()) return true;
  const size_t part = PartOf(entry_.key, out_.size());
  out_[part]->Add(table, keep_shards_ ? in_->shard() : HashKey(entry_.key), in_->message());
  return true;
}

void TableCopy::Finish() {
  for (auto& set : out_) set->Finish();
}

void TableCopy::Publish() {
  for (auto& set : out_) set->Publish();
}

}  // namespace monolith
