#include "core/records/csv.h"

#include <algorithm>
#include <cmath>

#include "core/base/fid.h"
#include "core/base/hash.h"
#include "core/records/csv_cells.h"
#include "core/records/example_view.h"
#include "core/records/line_id.h"

namespace monolith {
namespace {

using wire::Type;
using wire::Writer;

[[noreturn]] void BadSchema(const std::string& what) { throw Error(ErrorCode::kConfig, what); }

std::string Shown(std::string_view text) {
  return "'" + std::string(text.substr(0, 80)) + (text.size() > 80 ? "…'" : "'");
}

}  // namespace

RowOptions RowOptionsOf(const CsvSchema& schema) {
  RowOptions options;
  options.quote = schema.quote;
  options.separator = schema.separator.empty() ? ',' : schema.separator[0];
  options.header = schema.header;
  options.skip_empty = schema.skip_empty;
  options.max_row_bytes = schema.max_row_bytes;
  return options;
}

class CsvOperator::Impl {
 public:
  explicit Impl(const CsvSchema& schema);
  void Begin(std::shared_ptr<RowReader> reader);
  void Make(std::string_view row);
  std::string_view made() const { return out_; }
  uint64_t line() const { return reader_ ? reader_->line() : 0; }

 private:
  struct Column {
    CsvColumn config;
    const LineIdField* field = nullptr;
    std::string what;  // for messages
  };
  // Columns that make one feature, one behind the other.
  struct Feature {
    CsvTarget target;
    int version;
    uint64_t slot;
    std::string name;
    std::vector<const Column*> columns;
    // What stands before and behind the values when they have `cached` bytes: it is the same in most rows.
    std::string before, behind;
    size_t cached = 0;
  };

  void Check(Column* column) const;
  void SplitRow(std::string_view row);
  template <class Visit>
  bool ForEachValue(const Column& column, Visit visit);
  [[noreturn]] void Bad(const Column& column, std::string_view text, const char* wanted) const;
  uint64_t Integer(const Column& column, std::string_view text) const;
  float Float(const Column& column, std::string_view text) const;
  float Label(const Column& column, std::string_view text) const;

  void MakeFeature(Feature* feature);
  void WriteFeature(const Feature& feature);
  bool FeatureValues(const Feature& feature);
  void MakeLineId();
  void AppendLineId(const Column& column, std::string_view text);
  void Assemble();

  CsvSchema schema_;
  std::vector<Column> columns_;
  std::vector<Feature> features_;
  std::vector<const Column*> labels_, line_ids_;
  const Column* weight_ = nullptr;
  CellSplitter splitter_;
  size_t cells_wanted_ = 0, cells_in_header_ = 0;
  std::shared_ptr<RowReader> reader_;

  std::vector<std::string_view> cells_;
  std::string utf8_, values_, repeated_, fids_, features_out_, labels_out_, line_id_, out_;
  bool has_line_id_ = false, has_weight_ = false;
  float weight_value_ = 0;
};

CsvOperator::Impl::Impl(const CsvSchema& schema) : schema_(schema), splitter_(schema.separator, schema.quote) {
  if (schema.separator.empty()) BadSchema("the separator is empty");
  if (schema.separator.find_first_of("\r\n") != std::string::npos) BadSchema("the separator holds an end of line");
  if (schema.quote && schema.separator.size() > 1) BadSchema("quote = true needs a separator of one character");
  if (schema.quote && schema.separator == "\"") BadSchema("the separator is the quote");
  if (schema.columns.empty()) BadSchema("no column is given");
  if (schema.to == RecordType::kExampleBatch) BadSchema("rows become instance or example");
  for (const CsvColumn& c : schema.columns) {
    Column column{c, nullptr, c.from.empty() ? "column " + std::to_string(c.index) : "column " + c.from};
    Check(&column);
    columns_.push_back(std::move(column));
  }
  for (const Column& c : columns_) {
    const CsvColumn& k = c.config;
    if (k.target == CsvTarget::kLabel) {
      labels_.push_back(&c);
    } else if (k.target == CsvTarget::kLineId) {
      line_ids_.push_back(&c);
    } else if (k.target == CsvTarget::kWeight) {
      if (weight_) BadSchema(c.what + ": another column is the weight already");
      weight_ = &c;
    } else {
      const auto same =
          std::find_if(features_.begin(), features_.end(), [&](const Feature& f) { return f.name == k.name; });
      if (same == features_.end()) {
        features_.push_back({k.target, k.version, k.slot, k.name, {&c}, {}, {}, 0});
      } else if (same->target != k.target || same->version != k.version || same->slot != k.slot) {
        BadSchema(c.what + ": feature " + k.name + " is made of another kind of column already");
      } else {
        same->columns.push_back(&c);
      }
    }
    if (k.from.empty()) cells_wanted_ = std::max(cells_wanted_, k.index + 1);
  }
  std::stable_sort(line_ids_.begin(), line_ids_.end(),
                   [](const Column* a, const Column* b) { return a->field->number < b->field->number; });
}

void CsvOperator::Impl::Check(Column* column) const {
  const CsvColumn& c = column->config;
  if (!c.from.empty() && !schema_.header) BadSchema(column->what + ": a name needs a header (header = true)");
  CheckUtf8(c.name, "the name of a feature");
  if (c.target == CsvTarget::kFid) {
    if (c.version != 1 && c.version != 2) BadSchema(column->what + ": version is 1 or 2");
    const uint64_t limit = c.version == 1 ? fid::kSlotsV1 : fid::kSlotsV2;
    if (c.slot >= limit)
      BadSchema(column->what + ": v" + std::to_string(c.version) + " slot should be less than " +
                std::to_string(limit) + ", while got " + std::to_string(c.slot));
  }
  if (c.target == CsvTarget::kLineId) {
    column->field = FindLineIdField(c.name);
    if (!column->field) BadSchema(column->what + ": LineId has no field '" + c.name + "'");
    if (!c.separator.empty() && !column->field->repeated)
      BadSchema(column->what + ": LineId field " + c.name + " takes one value, not several");
  }
  if (ReservedName(c.name) != Reserved::kNone) BadSchema(column->what + ": the name " + c.name + " is reserved");
}

void CsvOperator::Impl::Begin(std::shared_ptr<RowReader> reader) {
  reader_ = std::move(reader);
  if (!schema_.header) return;
  const std::string where = reader_->name() + ": the header ";
  if (reader_->Header().empty()) return;  // nothing follows an empty source
  try {
    SplitRow(reader_->Header());
  } catch (const BadRecord& e) {
    throw Error(ErrorCode::kBadData, where + "cannot be read: " + e.what());
  }
  cells_in_header_ = cells_.size();
  for (Column& c : columns_) {
    if (c.config.from.empty()) continue;
    const auto at = std::find(cells_.begin(), cells_.end(), c.config.from);
    if (at == cells_.end()) {
      const std::string_view near = NearestName(c.config.from, cells_);
      throw Error(ErrorCode::kBadData, where + "has no column '" + c.config.from + "'" +
                                           (near.empty() ? "" : "; there is '" + std::string(near) + "'"));
    }
    c.config.index = static_cast<size_t>(at - cells_.begin());
  }
  cells_wanted_ = 0;
  for (const Column& c : columns_) cells_wanted_ = std::max(cells_wanted_, c.config.index + 1);
  if (cells_wanted_ > cells_in_header_)
    throw Error(ErrorCode::kBadData, where + "has " + std::to_string(cells_in_header_) + " columns, the schema wants " +
                                         std::to_string(cells_wanted_));
}

void CsvOperator::Impl::SplitRow(std::string_view row) {
  if (!IsAscii(row)) {
    if (schema_.latin1) {
      Latin1ToUtf8(row, &utf8_);
      row = utf8_;
    } else {
      try {
        CheckUtf8(row, "the row");
      } catch (const BadRecord& e) {
        throw BadRecord(std::string(e.what()) + " (encoding = \"latin-1\" in the schema reads any bytes)");
      }
    }
  }
  splitter_.Split(row, &cells_);
}

// Calls `visit` with each text the column has in this row; false when it has none.
template <class Visit>
bool CsvOperator::Impl::ForEachValue(const Column& column, Visit visit) {
  const CsvColumn& c = column.config;
  std::string_view cell = c.index < cells_.size() ? cells_[c.index] : std::string_view();
  bool missing = cell.empty();
  for (const std::string& null : schema_.null_texts) missing = missing || cell == null;
  if (missing) {
    if (c.missing == CsvMissing::kSkip) return false;
    if (c.missing == CsvMissing::kError) throw BadRecord(column.what + " is missing");
    cell = c.default_text;
  }
  if (c.separator.empty()) {
    visit(cell);
    return true;
  }
  bool any = false;
  while (true) {
    const size_t at = cell.find(c.separator);
    const std::string_view value = cell.substr(0, at);
    if (!value.empty()) {
      visit(value);
      any = true;
    }
    if (at == std::string_view::npos) return any;
    cell.remove_prefix(at + c.separator.size());
  }
}

void CsvOperator::Impl::Bad(const Column& column, std::string_view text, const char* wanted) const {
  throw BadRecord(column.what + ": " + Shown(text) + " is no " + wanted);
}

uint64_t CsvOperator::Impl::Integer(const Column& column, std::string_view text) const {
  uint64_t value = 0;
  switch (column.config.value) {
    case CsvValue::kHash: return CityHash64(text);
    case CsvValue::kTime: {
      int64_t seconds = 0;
      if (!ParseTime(text, &seconds)) Bad(column, text, "time such as 2024-05-31 23:59:59");
      return static_cast<uint64_t>(seconds);
    }
    case CsvValue::kLog2: {
      const float v = Float(column, text);
      return std::isfinite(v) ? static_cast<uint64_t>(std::log2(std::fabs(v) + 1.0f)) : 0;
    }
    default:
      if (!ParseInteger(text, &value)) Bad(column, text, "integer of 64 bits");
      return value;
  }
}

float CsvOperator::Impl::Float(const Column& column, std::string_view text) const {
  float value = 0;
  if (!ParseFloat(text, &value)) Bad(column, text, "number");
  return value;
}

float CsvOperator::Impl::Label(const Column& column, std::string_view text) const {
  const CsvColumn& c = column.config;
  if (!c.map.empty()) {
    const auto it = c.map.find(text);
    if (it == c.map.end()) Bad(column, text, "label of the map");
    return it->second;
  }
  const float value = Float(column, text);
  return c.threshold ? (value >= *c.threshold ? 1.0f : 0.0f) : value;
}

// Fills values_ with the feature's elements: packed, or for texts the fields of a list. False when there is none.
bool CsvOperator::Impl::FeatureValues(const Feature& feature) {
  values_.clear();
  const bool bytes = feature.target == CsvTarget::kBytes;
  const uint32_t number = schema_.to == RecordType::kInstance ? schema::column::kBytesValue : schema::kListValue;
  Writer w(&values_);
  bool any = false;
  for (const Column* column : feature.columns) {
    any |= ForEachValue(*column, [&](std::string_view text) {
      if (bytes) return w.Bytes(number, text);
      if (feature.target == CsvTarget::kInt64) return w.RawVarint(Integer(*column, text));
      if (feature.target == CsvTarget::kFloat) {
        const float v = Float(*column, text);
        return w.Raw({reinterpret_cast<const char*>(&v), 4});
      }
      const uint64_t signature = Integer(*column, text);
      const uint64_t f =
          feature.version == 1 ? fid::MakeV1(feature.slot, signature) : fid::MakeV2(feature.slot, signature);
      w.Raw({reinterpret_cast<const char*>(&f), 8});
    });
  }
  return any;
}

void CsvOperator::Impl::MakeFeature(Feature* feature) {
  if (!FeatureValues(*feature)) return;
  if (feature->target == CsvTarget::kFid && feature->version == 1 && schema_.to == RecordType::kInstance) {
    fids_.append(values_);
    return;
  }
  if (feature->cached != values_.size()) {
    const size_t begin = features_out_.size();
    WriteFeature(*feature);
    const size_t id = schema_.to == RecordType::kExample && feature->target == CsvTarget::kFid ? feature->slot : 0;
    const size_t behind = id ? 1 + VarintSize(id) : 0, end = features_out_.size();
    feature->before = features_out_.substr(begin, end - begin - behind - values_.size());
    feature->behind = features_out_.substr(end - behind);
    feature->cached = values_.size();
    return;
  }
  features_out_.append(feature->before).append(values_).append(feature->behind);
}

void CsvOperator::Impl::WriteFeature(const Feature& feature) {
  namespace fk = schema::feature;
  namespace ck = schema::column;
  const bool bytes = feature.target == CsvTarget::kBytes, fid = feature.target == CsvTarget::kFid;
  const bool floats = feature.target == CsvTarget::kFloat;
  if (schema_.to == RecordType::kExample) {
    const uint32_t kind = fid      ? (feature.version == 1 ? fk::kFidV1List : fk::kFidV2List)
                          : bytes  ? fk::kBytesList
                          : floats ? fk::kFloatList
                                   : fk::kInt64List;
    return WriteNamedFeature(schema::example::kNamedFeature, feature.name, fid ? feature.slot : 0, kind, values_,
                             !bytes, &features_out_);
  }
  const uint32_t number = fid ? ck::kFid : floats ? ck::kFloatValue : ck::kInt64Value;
  Writer w(&features_out_);
  w.Tag(schema::instance::kFeature, Type::kBytes);
  w.RawVarint(BytesSize(ck::kName, feature.name.size()) + (bytes ? values_.size() : BytesSize(number, values_.size())));
  w.Bytes(ck::kName, feature.name);
  bytes ? w.Raw(values_) : w.Bytes(number, values_);
}

void CsvOperator::Impl::AppendLineId(const Column& column, std::string_view text) {
  const LineIdField& field = *column.field;
  Writer w(&line_id_);
  switch (field.kind) {
    case FieldKind::kString: return w.Bytes(field.number, text);
    case FieldKind::kFloat: return w.Float(field.number, Float(column, text));
    case FieldKind::kDouble: return w.Double(field.number, Float(column, text));
    case FieldKind::kUint64: return w.Fixed64(field.number, Integer(column, text));
    case FieldKind::kBool:
      if (text == "true" || text == "True" || text == "TRUE") return w.Varint(field.number, 1);
      if (text == "false" || text == "False" || text == "FALSE") return w.Varint(field.number, 0);
      return w.Varint(field.number, Integer(column, text) != 0);
    default: break;
  }
  uint64_t value = Integer(column, text);
  if (field.kind == FieldKind::kInt32) {
    const auto wide = static_cast<int64_t>(value);
    if (column.config.value == CsvValue::kHash) value = static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)});
    else if (wide != static_cast<int32_t>(wide)) Bad(column, text, "integer of 32 bits");
  }
  if (field.packed)
    Writer(&repeated_).RawVarint(value);
  else
    w.Varint(field.number, value);
}

void CsvOperator::Impl::MakeLineId() {
  line_id_.clear();
  has_line_id_ = false;
  for (const Column* column : line_ids_) {
    repeated_.clear();
    has_line_id_ |= ForEachValue(*column, [&](std::string_view text) { AppendLineId(*column, text); });
    if (!repeated_.empty()) Writer(&line_id_).Bytes(column->field->number, repeated_);
  }
}

void CsvOperator::Impl::Assemble() {
  namespace in = schema::instance;
  namespace ex = schema::example;
  const bool instance = schema_.to == RecordType::kInstance;
  out_.clear();
  Writer w(&out_);
  if (!fids_.empty()) w.Bytes(in::kFid, fids_);
  if (!instance) w.Raw(features_out_);
  if (!instance && has_line_id_) w.Bytes(ex::kLineId, line_id_);
  if (!labels_out_.empty()) w.Bytes(instance ? in::kLabel : ex::kLabel, labels_out_);
  if (has_weight_) w.Float(instance ? in::kInstanceWeight : ex::kInstanceWeight, weight_value_);
  if (instance && has_line_id_) w.Bytes(in::kLineId, line_id_);
  if (instance) w.Raw(features_out_);
}

void CsvOperator::Impl::Make(std::string_view row) {
  SplitRow(row);
  if (cells_.size() < cells_wanted_ && !schema_.short_rows)
    throw BadRecord("the row has " + std::to_string(cells_.size()) + " cells, at least " +
                    std::to_string(cells_wanted_) +
                    " are needed (short_rows = true in the schema takes the rest as missing)");
  if (cells_in_header_ && cells_.size() > cells_in_header_)
    throw BadRecord("the row has " + std::to_string(cells_.size()) + " cells, the header has " +
                    std::to_string(cells_in_header_));
  fids_.clear();
  features_out_.clear();
  labels_out_.clear();
  has_weight_ = false;
  for (Feature& f : features_) MakeFeature(&f);
  for (const Column* column : labels_)
    ForEachValue(*column, [&](std::string_view text) {
      const float v = Label(*column, text);
      labels_out_.append(reinterpret_cast<const char*>(&v), 4);
    });
  if (weight_)
    has_weight_ = ForEachValue(*weight_, [&](std::string_view text) { weight_value_ = Float(*weight_, text); });
  MakeLineId();
  Assemble();
}

CsvOperator::CsvOperator(const CsvSchema& schema) : impl_(std::make_unique<Impl>(schema)) {}

CsvOperator::~CsvOperator() = default;

void CsvOperator::Begin(std::shared_ptr<RowReader> reader) { impl_->Begin(std::move(reader)); }

void CsvOperator::Process(const Record& record, RecordSink* next) {
  try {
    impl_->Make(record.payload);
  } catch (const BadRecord& e) {
    if (!impl_->line()) throw;
    throw BadRecord("line " + std::to_string(impl_->line()) + ": " + e.what());
  }
  Record made = record;
  made.payload = impl_->made();
  made.framed = false;
  next->Write(made);
}

}  // namespace monolith
