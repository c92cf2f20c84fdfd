#include "core/records/batch_builder.h"

namespace monolith {

using wire::Type;
using wire::Writer;
namespace list = schema::named_feature_list;
namespace feature = schema::feature;

namespace {

// A Feature with a list of one packed or bytes element, as a cell of a column.
void WriteCell(uint32_t kind, std::string_view element, std::string* cells) {
  const size_t inner = element.data() ? BytesSize(schema::kListValue, element.size()) : 0;
  Writer w(cells);
  w.Tag(list::kFeature, Type::kBytes);
  w.RawVarint(BytesSize(kind, inner));
  w.Tag(kind, Type::kBytes);
  w.RawVarint(inner);
  if (element.data()) w.Bytes(schema::kListValue, element);
}

std::string MissingCell(uint32_t kind, std::string_view element) {
  std::string cell;
  WriteCell(kind, element, &cell);
  return cell;
}

void Pad(size_t n, std::string_view missing, std::string* cells) {
  for (size_t i = 0; i < n; ++i) cells->append(missing);
}

constexpr std::string_view kEmptyFeature("\x12\0", 2);  // field 2 of a column, no bytes

}  // namespace

BatchBuilder::Column* BatchBuilder::Columns::Find(const NamedFeatureView& named) {
  if (guess < used && columns[guess].name == named.name) return &columns[guess++];
  if (const auto it = by_name.find(named.name); it != by_name.end()) {
    guess = it->second + 1;
    return &columns[it->second];
  }
  if (used == columns.size()) columns.emplace_back();
  Column& column = columns[used];
  column.name = named.name;
  column.id = named.id;
  column.rows = 0;
  column.cells.clear();
  by_name.emplace(column.name, used);
  guess = ++used;
  return &column;
}

void BatchBuilder::Columns::Clear() {
  by_name.clear();
  used = guess = 0;
}

void BatchBuilder::AddCells(const std::vector<NamedFeatureView>& features, Columns* columns) {
  columns->guess = 0;
  for (const NamedFeatureView& named : features) {
    Column* column = columns->Find(named);
    // A name that stands twice in a row: the last counts.
    if (column->rows > rows_) {
      column->cells.resize(column->last);
      --column->rows;
    }
    Pad(rows_ - column->rows, kEmptyFeature, &column->cells);
    column->last = column->cells.size();
    Writer(&column->cells).Bytes(list::kFeature, named.feature);
    column->rows = rows_ + 1;
    bytes_ += named.feature.size() + named.name.size() + 8;
  }
}

void BatchBuilder::AddReserved(const RowFields& row) {
  if (row.line_id.present()) {
    Pad(rows_ - line_ids_.rows, MissingCell(feature::kBytesList, ""), &line_ids_.cells);
    WriteCell(feature::kBytesList, row.line_id.view(), &line_ids_.cells);
    line_ids_.rows = rows_ + 1;
  }
  if (!row.label.view().empty()) {
    Pad(rows_ - labels_.rows, MissingCell(feature::kFloatList, {}), &labels_.cells);
    WriteCell(feature::kFloatList, row.label.view(), &labels_.cells);
    labels_.rows = rows_ + 1;
  }
  if (row.has_weight) {
    Pad(rows_ - weights_.rows, MissingCell(feature::kFloatList, {"\0\0\0\0", 4}), &weights_.cells);
    WriteCell(feature::kFloatList, {reinterpret_cast<const char*>(&row.weight), 4}, &weights_.cells);
    weights_.rows = rows_ + 1;
  }
  bytes_ += row.line_id.view().size() + row.label.view().size() + 48;
}

void BatchBuilder::Add(const ExampleView& row) {
  if (rows_ == 0) data_source_key_ = row.data_source_key;
  if (pruning_ != Pruning::kFeature) AddCells(row.features, &columns_);
  if (pruning_ != Pruning::kRawFeature) AddCells(row.raw_features, &raw_);
  AddReserved(row.row);
  ++rows_;
}

void BatchBuilder::WriteColumns(uint32_t number, Columns* columns, std::string* out) {
  for (size_t i = 0; i < columns->used; ++i) {
    Column& c = columns->columns[i];
    Pad(rows_ - c.rows, kEmptyFeature, &c.cells);
    Writer w(out);
    w.Tag(number, Type::kBytes);
    w.RawVarint((c.name.empty() ? 0 : BytesSize(list::kName, c.name.size())) + c.cells.size() +
                (c.id ? 1 + VarintSize(c.id) : 0));
    if (!c.name.empty()) w.Bytes(list::kName, c.name);
    w.Raw(c.cells);
    if (c.id) w.Varint(list::kId, c.id);
  }
  columns->Clear();
}

void BatchBuilder::WriteReserved(const char* name, Column* column, std::string_view missing, std::string* out) {
  if (column->rows) {
    Pad(rows_ - column->rows, missing, &column->cells);
    const std::string_view n(name);
    Writer w(out);
    w.Tag(schema::example_batch::kNamedFeatureList, Type::kBytes);
    w.RawVarint(BytesSize(list::kName, n.size()) + column->cells.size());
    w.Bytes(list::kName, n);
    w.Raw(column->cells);
  }
  column->rows = 0;
  column->cells.clear();
}

void BatchBuilder::Finish(std::string* out) {
  namespace eb = schema::example_batch;
  if (rows_ == 0) return;
  WriteColumns(eb::kNamedFeatureList, &columns_, out);
  WriteReserved(schema::kLineIdName, &line_ids_, MissingCell(feature::kBytesList, ""), out);
  WriteReserved(schema::kLabelName, &labels_, MissingCell(feature::kFloatList, {}), out);
  WriteReserved(schema::kInstanceWeightName, &weights_, MissingCell(feature::kFloatList, {"\0\0\0\0", 4}), out);
  WriteColumns(eb::kNamedRawFeatureList, &raw_, out);
  Writer(out).Varint(eb::kBatchSize, rows_);
  if (data_source_key_) Writer(out).Varint(eb::kDataSourceKey, data_source_key_);
  rows_ = bytes_ = 0;
}

}  // namespace monolith
