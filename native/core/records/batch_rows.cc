#include "core/records/batch_rows.h"

#include "core/records/batch_size.h"

namespace monolith {

using wire::Field;
using wire::Reader;
using wire::Type;
using wire::Writer;
namespace list = schema::named_feature_list;

namespace {

// Appends a NamedFeature, or with the same numbers a NamedRawFeature, around a feature as it stands.
void WriteNamed(uint32_t number, std::string_view name, std::string_view feature, uint64_t id, std::string* out) {
  size_t whole = BytesSize(schema::named_feature::kFeature, feature.size());
  if (!name.empty()) whole += BytesSize(schema::named_feature::kName, name.size());
  if (id) whole += 1 + VarintSize(id);
  Writer w(out);
  w.Tag(number, Type::kBytes);
  w.RawVarint(whole);
  if (!name.empty()) w.Bytes(schema::named_feature::kName, name);
  w.Bytes(schema::named_feature::kFeature, feature);
  if (id) w.Varint(schema::named_feature::kId, id);
}

}  // namespace

void BatchRows::Read(std::string_view batch) {
  namespace eb = schema::example_batch;
  scratch_.Reset();
  columns_.clear();
  raw_columns_.clear();
  cells_.clear();
  data_source_key_ = 0;
  int32_t rows = 0;
  Reader reader(batch);
  Field f;
  while (reader.Next(&f)) {
    switch (f.number) {
      case eb::kNamedFeatureList:
        if (f.type == Type::kBytes) columns_.push_back(ReadColumn(f.bytes));
        break;
      case eb::kNamedRawFeatureList:
        if (f.type == Type::kBytes) raw_columns_.push_back(ReadColumn(f.bytes));
        break;
      case eb::kBatchSize:
        if (f.type == Type::kVarint) rows = f.AsInt32();
        break;
      case eb::kDataSourceKey:
        if (f.type == Type::kVarint) data_source_key_ = static_cast<uint32_t>(f.scalar);
        break;
      default: break;
    }
  }
  rows_ = CheckedBatchSize(rows, batch.size());
  if (rows_ == 0) return;
  for (const Column& c : columns_) CheckColumn(c, false);
  for (const Column& c : raw_columns_) CheckColumn(c, true);
}

BatchRows::Column BatchRows::ReadColumn(std::string_view bytes) {
  Column column;
  column.first = cells_.size();
  Reader reader(bytes);
  Field f;
  while (reader.Next(&f)) {
    if (f.number == list::kName && f.type == Type::kBytes)
      column.name = f.bytes;
    else if (f.number == list::kFeature && f.type == Type::kBytes)
      cells_.push_back(f.bytes);
    else if (f.number == list::kType && f.type == Type::kVarint)
      column.shared = static_cast<uint32_t>(f.scalar) == list::kShared;
    else if (f.number == list::kId && f.type == Type::kVarint)
      column.id = static_cast<uint64_t>(static_cast<int64_t>(f.AsInt32()));
  }
  column.count = cells_.size() - column.first;
  CheckUtf8(column.name, "the name of a column");
  column.reserved = ReservedName(column.name);
  return column;
}

void BatchRows::CheckColumn(const Column& column, bool raw) {
  if (column.shared ? column.count == 0 : column.count != rows_)
    throw BadRecord("column " + std::string(column.name) + " has " + std::to_string(column.count) +
                    (column.shared ? " features, at least 1 is needed as it is shared"
                                   : " features, while batch_size is " + std::to_string(rows_)));
  RowFields ignored;
  for (size_t i = 0; i < column.count; ++i) {
    row_scratch_.Reset();
    const std::string_view cell = cells_[column.first + i];
    if (raw)
      CheckRawFeature(cell, &row_scratch_);
    else if (column.reserved == Reserved::kNone)
      ReadFeature(cell, &row_scratch_);
    else
      SetReserved(column.reserved, cell, &ignored, &row_scratch_);
  }
}

const RowFields& BatchRows::ReadRowFields(size_t row) {
  row_scratch_.Reset();
  row_ = RowFields();
  for (const Column& c : columns_)
    if (c.reserved != Reserved::kNone) SetReserved(c.reserved, Cell(c, row), &row_, &row_scratch_);
  return row_;
}

void BatchRows::WriteExample(size_t row, std::string* out) {
  namespace ex = schema::example;
  ReadRowFields(row);
  if (pruning_ != Pruning::kFeature)
    for (const Column& c : columns_)
      if (c.reserved == Reserved::kNone) WriteNamed(ex::kNamedFeature, c.name, Cell(c, row), c.id, out);
  if (pruning_ != Pruning::kRawFeature)
    for (const Column& c : raw_columns_) WriteNamed(ex::kNamedRawFeature, c.name, Cell(c, row), c.id, out);
  WriteRowFields(row_, data_source_key_, out);
}

void BatchRows::WriteInstance(size_t row, std::string* out) {
  ReadRowFields(row);
  builder_.Clear();
  if (pruning_ != Pruning::kFeature)
    for (const Column& c : columns_)
      if (c.reserved == Reserved::kNone) builder_.Add(c.name, Cell(c, row), &row_scratch_);
  builder_.Finish(row_, data_source_key_, out);
}

}  // namespace monolith
