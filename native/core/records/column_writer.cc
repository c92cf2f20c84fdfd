#include "core/records/column_writer.h"

#include "core/base/error.h"
#include "core/base/fid.h"

namespace monolith {
namespace {

using wire::Type;

void AppendInt64(std::string* out, uint64_t v) { out->append(reinterpret_cast<const char*>(&v), 8); }

// Whether a member of the oneof of Feature holds what the column is made of.
bool Fits(const ColumnPlan& plan, uint32_t member) {
  namespace fk = schema::feature;
  switch (plan.target) {
    case CsvTarget::kFid:
      return member == (plan.version == 1 ? fk::kFidV1List : fk::kFidV2List);
    case CsvTarget::kInt64:
      return member == fk::kInt64List || member == fk::kInt64Value;
    case CsvTarget::kBytes:
      return member == fk::kBytesList || member == fk::kBytesValue;
    default:
      return member == fk::kFloatList || member == fk::kDoubleList || member == fk::kFloatValue ||
             member == fk::kDoubleValue;
  }
}

[[noreturn]] void Wrong(const ColumnPlan& plan, const std::string& why) {
  throw BadRecord("feature " + plan.name + ": " + why);
}

}  // namespace

template <class T>
void ColumnWriter::Add(Cell* cell, T value) {
  cell->values.append(reinterpret_cast<const char*>(&value), sizeof value);
  ++cell->count;
}

void ColumnWriter::AddBytes(Cell* cell, std::string_view value) {
  cell->values.append(value);
  cell->ends.push_back(cell->values.size());
  ++cell->count;
}

ColumnWriter::ColumnWriter(std::vector<ColumnPlan> plan, size_t rows, size_t bytes, Take take)
    : plan_(std::move(plan)),
      max_rows_(rows),
      max_bytes_(bytes),
      take_(std::move(take)),
      cells_(plan_.size()),
      data_(plan_.size()) {
  for (size_t i = 0; i < plan_.size(); ++i) {
    ColumnPlan& p = plan_[i];
    using Kind = ColumnPlan::Kind;
    p.kind = p.target == CsvTarget::kFid     ? Kind::kUint64
             : p.target == CsvTarget::kInt64 ? Kind::kInt64
             : p.target == CsvTarget::kBytes ? Kind::kBytes
                                             : Kind::kFloat;
    if (p.target == CsvTarget::kLineId) {
      const LineIdField* field = FindLineIdField(p.name);
      if (!field) throw Error(ErrorCode::kConfig, "LineId has no field '" + p.name + "'");
      p.kind = field->kind == FieldKind::kString   ? Kind::kBytes
               : field->kind == FieldKind::kFloat  ? Kind::kFloat
               : field->kind == FieldKind::kUint64 ? Kind::kUint64
                                                   : Kind::kInt64;
      if (!line_id_.insert({field->number, {field, i}}).second)
        throw Error(ErrorCode::kConfig, "the LineId field " + p.name + " is written to two columns");
    } else if (p.target != CsvTarget::kLabel && p.target != CsvTarget::kWeight) {
      if (!features_.insert({p.name, i}).second)
        throw Error(ErrorCode::kConfig, "the feature " + p.name + " is written to two columns");
    }
  }
}

void ColumnWriter::AddFid(const ColumnPlan& plan, uint64_t f, Cell* cell) {
  if (plan.whole_fid) return Add(cell, f);
  const uint64_t slot = plan.version == 1 ? f >> 54 : f >> 48;
  if (slot != plan.slot)
    Wrong(plan, "a fid has the slot " + std::to_string(slot) + ", the schema says " + std::to_string(plan.slot));
  Add(cell, f & ((uint64_t{1} << (plan.version == 1 ? 54 : 48)) - 1));
}

void ColumnWriter::ReadList(const ColumnPlan& plan, uint32_t member, std::string_view list, Cell* cell) {
  namespace fk = schema::feature;
  wire::Reader reader(list);
  wire::Field e;
  while (reader.Next(&e)) {
    if (e.number != schema::kListValue) continue;
    if (member == fk::kBytesList) {
      if (e.type == Type::kBytes) AddBytes(cell, e.bytes);
    } else if (member == fk::kInt64List) {
      if (e.type == Type::kBytes || e.type == Type::kVarint) wire::ForEachVarint(e, [&](uint64_t v) { Add(cell, v); });
    } else if (member == fk::kFloatList) {
      if (e.type == Type::kBytes || e.type == Type::kFixed32)
        wire::ForEachFixed<float>(e, [&](float v) { Add(cell, v); });
    } else if (e.type != Type::kBytes && e.type != Type::kFixed64) {
      continue;
    } else if (member == fk::kDoubleList) {
      wire::ForEachFixed<double>(e, [&](double v) { Add(cell, static_cast<float>(v)); });
    } else {
      wire::ForEachFixed<uint64_t>(e, [&](uint64_t v) { AddFid(plan, v, cell); });
    }
  }
}

// The member of the oneof that is set last counts; lists that come in pieces merge.
void ColumnWriter::ReadFeature(const ColumnPlan& plan, std::string_view feature, Cell* cell) {
  namespace fk = schema::feature;
  cell->Clear();
  uint32_t member = 0;
  wire::Reader reader(feature);
  wire::Field field;
  while (reader.Next(&field)) {
    const uint32_t n = field.number;
    if (n == 0 || n > fk::kFidV1Lists) continue;
    const Type own = n == fk::kInt64Value    ? Type::kVarint
                     : n == fk::kFloatValue  ? Type::kFixed32
                     : n == fk::kDoubleValue ? Type::kFixed64
                                             : Type::kBytes;
    if (field.type != own) continue;
    if (n != member || own != Type::kBytes || n == fk::kBytesValue) cell->Clear();
    member = n;
    if (!Fits(plan, n)) continue;
    if (n == fk::kInt64Value) {
      Add(cell, field.scalar);
    } else if (n == fk::kFloatValue) {
      Add(cell, field.AsFloat());
    } else if (n == fk::kDoubleValue) {
      Add(cell, static_cast<float>(field.AsDouble()));
    } else if (n == fk::kBytesValue) {
      AddBytes(cell, field.bytes);
    } else {
      ReadList(plan, n, field.bytes, cell);
    }
  }
  if (member != 0 && !Fits(plan, member)) Wrong(plan, "holds another kind of value than the schema says");
}

void ColumnWriter::ReadLineId(std::string_view line_id) {
  wire::Reader reader(line_id);
  wire::Field field;
  while (reader.Next(&field)) {
    const auto it = line_id_.find(field.number);
    if (it == line_id_.end()) continue;
    const LineIdField& f = *it->second.first;
    Cell* cell = &cells_[it->second.second];
    const Type own = f.kind == FieldKind::kString   ? Type::kBytes
                     : f.kind == FieldKind::kFloat  ? Type::kFixed32
                     : f.kind == FieldKind::kUint64 ? Type::kFixed64
                                                    : Type::kVarint;
    if (f.repeated) {
      if (field.type == Type::kVarint || field.type == Type::kBytes)
        wire::ForEachVarint(field, [&](uint64_t v) { Add(cell, static_cast<int64_t>(static_cast<int32_t>(v))); });
    } else if (field.type == own) {
      cell->Clear();
      switch (f.kind) {
        case FieldKind::kString:
          AddBytes(cell, field.bytes);
          break;
        case FieldKind::kFloat:
          Add(cell, field.AsFloat());
          break;
        case FieldKind::kInt32:
          Add(cell, static_cast<int64_t>(field.AsInt32()));
          break;
        case FieldKind::kBool:
          Add(cell, uint64_t{field.scalar != 0});
          break;
        default:
          Add(cell, field.scalar);
          break;
      }
    }
  }
}

void ColumnWriter::ReadLabels(std::string_view packed) {
  for (size_t i = 0; i < plan_.size(); ++i) {
    if (plan_[i].target != CsvTarget::kLabel) continue;
    for (size_t k = 0; k < packed.size() / 4; ++k)
      if (plan_[i].list || k == plan_[i].element) Add(&cells_[i], LoadFloat(packed, k));
  }
}

void ColumnWriter::Process(const Record& record, RecordSink* next) {
  scratch_.Reset();
  view_.Read(record.payload, &scratch_);
  for (Cell& cell : cells_) cell.Clear();
  found_.assign(plan_.size(), {});
  for (const NamedFeatureView& f : view_.features) {
    const auto it = features_.find(f.name);
    if (it != features_.end()) found_[it->second] = f.feature;
  }
  for (size_t i = 0; i < plan_.size(); ++i)
    if (found_[i].data() != nullptr) ReadFeature(plan_[i], found_[i], &cells_[i]);
  ReadLineId(view_.row.line_id.view());
  ReadLabels(view_.row.label.view());
  for (size_t i = 0; i < plan_.size(); ++i) {
    if (plan_[i].target == CsvTarget::kWeight && view_.row.has_weight && view_.row.weight != 0)
      Add(&cells_[i], view_.row.weight);
    if (!plan_[i].list && cells_[i].count > 1)
      Wrong(plan_[i], std::to_string(cells_[i].count) + " values where the schema has list = false");
  }
  for (size_t i = 0; i < plan_.size(); ++i) Append(i);
  ++rows_;
  next->Write(record);
  if (rows_ == max_rows_ || bytes_ >= max_bytes_) Emit();
}

void ColumnWriter::Append(size_t column) {
  const Cell& cell = cells_[column];
  ColumnData& data = data_[column];
  const bool bytes = plan_[column].kind == ColumnPlan::Kind::kBytes;
  if (plan_[column].list) {
    AppendInt64(&data.row_offsets, data.count);
  } else {
    if (rows_ % 8 == 0) data.valid.push_back('\0');
    if (cell.count) data.valid.back() = static_cast<char>(data.valid.back() | 1 << (rows_ % 8));
  }
  const bool null = cell.count == 0 && !plan_[column].list;
  if (bytes) {
    uint64_t begin = 0;
    for (const uint64_t end : cell.ends) {
      AppendInt64(&data.value_offsets, data.values.size() + begin);
      begin = end;
    }
    if (null) AppendInt64(&data.value_offsets, data.values.size());
  } else if (null) {
    data.values.append(plan_[column].kind == ColumnPlan::Kind::kFloat ? 4 : 8, '\0');
  }
  data.values.append(cell.values);
  data.count += null ? 1 : cell.count;
  bytes_ += cell.values.size() + 8;
}

void ColumnWriter::Emit() {
  for (size_t i = 0; i < plan_.size(); ++i) {
    if (plan_[i].kind == ColumnPlan::Kind::kBytes) AppendInt64(&data_[i].value_offsets, data_[i].values.size());
    if (plan_[i].list) AppendInt64(&data_[i].row_offsets, data_[i].count);
  }
  take_(rows_, data_);
  for (ColumnData& data : data_) data = {};
  rows_ = bytes_ = 0;
}

void ColumnWriter::Finish(RecordSink*) {
  if (rows_ > 0) Emit();
}

}  // namespace monolith
