#include "core/tables/table_diff.h"

#include <algorithm>
#include <cmath>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith {
namespace {

// Equal bits are equal values, those of NaN too.
bool SameBits(float a, float b) { return LoadLe<uint32_t>(&a) == LoadLe<uint32_t>(&b); }

}  // namespace

TableDiff::TableDiff(DiffOptions options) : options_(std::move(options)), partition_(options_.spool_directory, options_.memory) {
  inputs_ = options_.a;
  inputs_.insert(inputs_.end(), options_.b.begin(), options_.b.end());
  for (size_t i = 0; i < inputs_.size(); ++i) {
    EntryStream stream(inputs_[i]);
    for (const std::string& table : stream.Tables()) {
      TableDifference& t = tables_[Number(table)];
      (i < options_.a.size() ? t.in_a : t.in_b) = true;
    }
  }
  shapes_.resize(2 * tables_.size());
}

size_t TableDiff::Number(const std::string& table) {
  const auto found = std::find_if(tables_.begin(), tables_.end(), [&](const TableDifference& t) { return t.table == table; });
  if (found != tables_.end()) return static_cast<size_t>(found - tables_.begin());
  tables_.emplace_back();
  tables_.back().table = table;
  return tables_.size() - 1;
}

bool TableDiff::Step(size_t rows) {
  for (size_t i = 0; reading_ && i < rows; ++i) reading_ = ReadRow();
  if (reading_) return true;
  if (!partition_.NextBatch(&batch_)) return false;
  CompareBatch();
  return true;
}

bool TableDiff::ReadRow() {
  while (!in_ || !in_->Next(&entry_, options_.table)) {
    if (input_ == inputs_.size()) return false;
    in_ = std::make_unique<EntryStream>(inputs_[input_++]);
    numbers_.clear();
    for (const std::string& table : in_->Tables()) numbers_.push_back(Number(table));
  }
  const uint32_t table = static_cast<uint32_t>(numbers_[in_->table()]);
  CheckShape(table);
  partition_.Add({entry_.key, table, input_ > options_.a.size(), in_->message()});
  return true;
}

void TableDiff::CheckShape(size_t table) {
  try {
    shapes_[2 * table + (input_ > options_.a.size())].Check(entry_);
  } catch (const BadRecord& e) {
    throw Error(ErrorCode::kBadData,
                in_->Where() + ": table '" + tables_[table].table + "', key " + std::to_string(entry_.key) + ": " + e.what());
  }
}

// Of rows of one key on one side the last counts, as in a table that reads the files.
void TableDiff::CompareBatch() {
  for (size_t i = 0; i < batch_.size();) {
    const KeyPartition::Row& row = batch_[i];
    const KeyPartition::Row* sides[2] = {};
    for (; i < batch_.size() && batch_[i].key == row.key && batch_[i].table == row.table; ++i) sides[batch_[i].source] = &batch_[i];
    Compare(sides[0], sides[1]);
  }
}

void TableDiff::Compare(const KeyPartition::Row* a, const KeyPartition::Row* b) {
  RowDifference d;
  d.table = a ? a->table : b->table;
  d.key = a ? a->key : b->key;
  TableDifference& t = tables_[d.table];
  t.rows_a += a != nullptr;
  t.rows_b += b != nullptr;
  if (!a || !b) {
    d.what = a ? RowDifference::What::kOnlyA : RowDifference::What::kOnlyB;
    return Count(d);
  }
  if (a->message == b->message) return void(++t.equal);
  entry_.Parse(a->message);
  other_.Parse(b->message);
  d.time_a = entry_.timestamp;
  d.time_b = other_.timestamp;
  d.time = !options_.ignore_time && d.time_a != d.time_b;
  if (entry_.weights.size() != other_.weights.size() || (!options_.ignore_state && !(shapes_[2 * d.table].shape() == shapes_[2 * d.table + 1].shape()))) {
    d.what = RowDifference::What::kShape;
    return Count(d);
  }
  CompareWeights(&d);
  d.state = !options_.ignore_state && StateDiffers();
  if (d.weights || d.state || d.time) Count(d);
  else ++t.equal;
}

bool TableDiff::Near(double a, double b) const { return std::abs(a - b) <= options_.tolerance; }

void TableDiff::CompareWeights(RowDifference* d) const {
  double square = 0;
  for (size_t i = 0; i < entry_.weights.size(); ++i) {
    const float a = entry_.weights[i], b = other_.weights[i];
    if (SameBits(a, b)) continue;
    const double apart = std::abs(double{a} - double{b});
    if (!Near(a, b)) d->weights = true;
    // The distance to what is not a number is none, which max() would pass over.
    d->max_abs = std::isnan(apart) ? INFINITY : std::max(d->max_abs, apart);
    square += std::isnan(apart) ? INFINITY : apart * apart;
  }
  d->l2 = std::sqrt(square);
}

bool TableDiff::StateDiffers() const {
  for (size_t i = 0; i < entry_.state.size(); ++i)
    if (!SameBits(entry_.state[i], other_.state[i]) && !Near(entry_.state[i], other_.state[i])) return true;
  for (size_t i = 0; i < entry_.values.size(); ++i)
    if (entry_.values[i].field->integer && entry_.values[i].integer != other_.values[i].integer) return true;
  return false;
}

void TableDiff::Count(const RowDifference& d) {
  TableDifference& t = tables_[d.table];
  switch (d.what) {
    case RowDifference::What::kOnlyA: ++t.only_a; break;
    case RowDifference::What::kOnlyB: ++t.only_b; break;
    case RowDifference::What::kShape: ++t.shapes; break;
    case RowDifference::What::kChanged:
      ++t.changed;
      t.state += d.state;
      t.times += d.time;
      if (!d.weights) break;
      ++t.weights;
      t.max_abs = std::max(t.max_abs, d.max_abs);
      if (!std::isfinite(d.l2)) {
        ++t.infinite;
        break;
      }
      t.l2_sum += d.l2;
      ++t.distances[static_cast<size_t>(std::clamp(std::ilogb(d.l2) + TableDifference::kZero, 0, TableDifference::kBins - 1))];
      break;
  }
  if (differences_.size() < options_.limit) differences_.push_back(d);
}

}  // namespace monolith
