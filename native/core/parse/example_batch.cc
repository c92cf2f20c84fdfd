#include <algorithm>

#include "core/parse/plan.h"
#include "core/records/batch_size.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;

// More values than that in one repeated column are taken for garbage, which bounds memory.
constexpr size_t kMaxRepeatedValues = size_t{1} << 28;

}  // namespace

void ParseRun::ExampleBatch(std::string_view record) {
  using namespace schema::example_batch;
  origin_ = record.data();
  batch_columns_.assign(plan_.targets.size(), {});
  int64_t batch_size = 0;
  Cursor c(record);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(kNamedFeatureList, Type::kBytes)) {
      NoteBatchColumn(c.Bytes());
    } else if (tag == Key(kBatchSize, Type::kVarint)) {
      batch_size = static_cast<int32_t>(c.Varint());
    } else {
      c.Skip(tag);
    }
  }
  const size_t first = out_->rows, rows = CheckedBatchSize(batch_size, record.size());
  AddRows(rows);
  for (SparseColumn& column : out_->sparse)  // rows of a column that is not there end where they begin
    std::fill(column.row_splits.begin() + first + 1, column.row_splits.end(), column.row_splits[first]);
  if (plan_.weight >= 0) {
    DenseColumn& weight = out_->dense[plan_.weight];
    for (size_t i = 0; i < rows; ++i) weight.floats[(first + i) * weight.width] = 1.0f;
  }
  if (!plan_.extras.empty()) {
    line_id_.Reset();
    for (size_t i = 0; i < rows; ++i) FillExtra(first + i);
  }
  for (size_t number = 0; number < batch_columns_.size(); ++number) BatchTarget(static_cast<int>(number), first, rows);
}

void ParseRun::NoteBatchColumn(std::string_view column) {
  using namespace schema::named_feature_list;
  std::string_view name;
  uint64_t type = kIndividual;
  Cursor c(column, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(kName, Type::kBytes)) {
      name = c.Bytes();
    } else if (tag == Key(kType, Type::kVarint)) {
      type = c.Varint();
    } else {
      c.Skip(tag);
    }
  }
  const int number = plan_.names.Find(name);
  if (number != NameTable::kAbsent) batch_columns_[number] = {column, type == kShared};
}

// Calls visit(value, i) for each row; of a shared column only for row 0.
template <class Visit>
void ParseRun::ForEachRow(const BatchColumn& column, const std::string& name, size_t rows, Visit visit) {
  size_t n = 0;
  ForEachBytesOf(column.body, schema::named_feature_list::kFeature, origin_, [&](std::string_view feature) {
    const size_t i = n++;
    if (i >= (column.shared ? 1 : rows)) return;
    FeatureValue value;
    value.Merge(feature, origin_, &out_->storage);
    visit(value, i);
  });
  if (column.shared ? n == 0 : n != rows)
    throw BadRecord("feature " + name + ": " + std::to_string(n) + " entries for " +
                    (column.shared ? "a shared column" : std::to_string(rows) + " rows"));
}

void ParseRun::BatchTarget(int number, size_t first, size_t rows) {
  const BatchColumn& column = batch_columns_[number];
  if (!column.body.data() || rows == 0) return;
  const ParsePlan::Target& target = plan_.targets[number];
  const std::string& name = plan_.names.name(number);
  if (target.sparse >= 0) return BatchSparse(column, name, &out_->sparse[target.sparse], first, rows);
  if (target.reserved == ParsePlan::Reserved::kWeight) return BatchWeight(column, name, first, rows);
  ForEachRow(column, name, rows, [&](const FeatureValue& value, size_t i) {
    if (target.dense >= 0) FillDense(value, name, &out_->dense[target.dense], first + i);
    if (target.reserved == ParsePlan::Reserved::kLineId) {
      TakeLineId(value);
      FillExtra(first + i);
    }
    if (target.reserved == ParsePlan::Reserved::kLabel && !batch_columns_[plan_.label_name].body.data()) {
      labels_.clear();
      TakeLabels(value);
      if (labels_.empty() && out_->dense[plan_.label].width == 1)
        throw BadRecord("feature " + name + ": row " + std::to_string(i) + " has no label");
      FillLabel(first + i, 0.0f);
    }
  });
  if (!column.shared) return;
  if (target.dense >= 0) RepeatRow(&out_->dense[target.dense], first, rows);
  if (target.reserved == ParsePlan::Reserved::kLabel) RepeatRow(&out_->dense[plan_.label], first, rows);
  if (target.reserved == ParsePlan::Reserved::kLineId)
    for (DenseColumn& extra : out_->extra) RepeatRow(&extra, first, rows);
}

void ParseRun::BatchSparse(const BatchColumn& column, const std::string& name, SparseColumn* to, size_t first, size_t rows) {
  ForEachRow(column, name, rows, [&](const FeatureValue& value, size_t i) {
    AppendSparse(value, name, to);
    to->row_splits[first + i + 1] = static_cast<int64_t>(to->values.size());
  });
  if (!column.shared) return;
  const size_t begin = static_cast<size_t>(to->row_splits[first]), n = to->values.size() - begin;
  if (n * rows > kMaxRepeatedValues) throw BadRecord("feature " + name + ": a shared column too long to repeat");
  to->values.resize(begin + n * rows);
  for (size_t i = 1; i < rows; ++i) {
    std::copy_n(to->values.begin() + begin, n, to->values.begin() + begin + i * n);
    to->row_splits[first + i + 1] = static_cast<int64_t>(begin + (i + 1) * n);
  }
}

// instance_weight: the value if > 0, else 1.0.
void ParseRun::BatchWeight(const BatchColumn& column, const std::string& name, size_t first, size_t rows) {
  DenseColumn& weight = out_->dense[plan_.weight];
  ForEachRow(column, name, rows, [&](const FeatureValue& value, size_t i) {
    labels_.clear();
    TakeLabels(value);
    weight.floats[(first + i) * weight.width] = !labels_.empty() && labels_[0] > 0 ? labels_[0] : 1.0f;
  });
  if (column.shared) RepeatRow(&weight, first, rows);
}

void ParseRun::RepeatRow(DenseColumn* column, size_t first, size_t rows) {
  const size_t width = static_cast<size_t>(column->width);
  const auto repeat = [&](auto& values) {
    if (values.empty()) return;
    const auto begin = values.begin() + first * width;
    for (size_t i = 1; i < rows; ++i) std::copy_n(begin, width, begin + i * width);
  };
  repeat(column->floats);
  repeat(column->ints);
  repeat(column->strings);
}

}  // namespace monolith
