#include "core/records/example_view.h"

namespace monolith {

using wire::Field;
using wire::Reader;
using wire::Type;

NamedFeatureView ReadNamedFeature(std::string_view bytes, Scratch* scratch) {
  NamedFeatureView named;
  Merged feature;
  Reader reader(bytes);
  Field f;
  while (reader.Next(&f)) {
    if (f.number == schema::named_feature::kName && f.type == Type::kBytes)
      named.name = f.bytes;
    else if (f.number == schema::named_feature::kFeature && f.type == Type::kBytes)
      feature.Add(f.bytes, scratch);
    else if (f.number == schema::named_feature::kId && f.type == Type::kVarint)
      named.id = static_cast<uint64_t>(static_cast<int64_t>(f.AsInt32()));
  }
  CheckUtf8(named.name, "the name of a feature");
  named.feature = feature.view();
  return named;
}

Reserved ReservedName(std::string_view name) {
  if (name == schema::kLineIdName) return Reserved::kLineId;
  if (name == schema::kLabelName) return Reserved::kLabel;
  if (name == schema::kInstanceWeightName) return Reserved::kInstanceWeight;
  return Reserved::kNone;
}

namespace {

Merged FirstBytes(const FeatureContent& value, Scratch* scratch) {
  Merged first;
  if (value.kind != schema::feature::kBytesList) return first;
  Reader reader(value.content);
  Field f;
  while (!first.present() && reader.Next(&f))
    if (f.number == schema::kListValue && f.type == Type::kBytes) first.Add(f.bytes, scratch);
  return first;
}

}  // namespace

void SetReserved(Reserved which, std::string_view feature, RowFields* row, Scratch* scratch) {
  const FeatureContent value = ReadFeature(feature, scratch);
  if (which == Reserved::kLineId) {
    row->line_id = FirstBytes(value, scratch);
    if (!row->line_id.present()) throw BadRecord("feature __LINE_ID__ holds no bytes");
    try {
      CheckLineId(row->line_id.view());
    } catch (const BadRecord& e) {
      throw BadRecord(std::string("feature __LINE_ID__ is no LineId: ") + e.what());
    }
    return;
  }
  std::string_view floats;
  if (value.kind == schema::feature::kFloatList) floats = ListElements(value.content, Type::kFixed32, scratch);
  if (which == Reserved::kLabel) {
    row->label.Clear();
    row->label.Add(floats, scratch);
  } else {
    row->has_weight = true;
    row->weight = floats.empty() ? 1.0f : LoadFloat(floats);
  }
}

void WriteRowFields(const RowFields& row, uint32_t data_source_key, std::string* out) {
  wire::Writer w(out);
  if (row.line_id.present()) w.Bytes(schema::example::kLineId, row.line_id.view());
  if (!row.label.view().empty()) w.Bytes(schema::example::kLabel, row.label.view());
  uint32_t weight = 0;
  if (row.has_weight) std::memcpy(&weight, &row.weight, 4);
  if (weight) w.Fixed32(schema::example::kInstanceWeight, weight);
  if (data_source_key) w.Varint(schema::example::kDataSourceKey, data_source_key);
}

void ExampleView::Read(std::string_view example, Scratch* scratch) {
  namespace ex = schema::example;
  features.clear();
  raw_features.clear();
  row = RowFields();
  data_source_key = 0;
  has_reserved = false;
  RowFields reserved;
  Reader reader(example);
  Field f;
  while (reader.Next(&f)) {
    switch (f.number) {
      case ex::kNamedFeature:
        if (f.type != Type::kBytes) break;
        features.push_back(ReadNamedFeature(f.bytes, scratch));
        if (const Reserved which = ReservedName(features.back().name); which != Reserved::kNone) {
          SetReserved(which, features.back().feature, &reserved, scratch);
          features.pop_back();
          has_reserved = true;
        }
        break;
      case ex::kNamedRawFeature:
        if (f.type == Type::kBytes) raw_features.push_back(ReadNamedFeature(f.bytes, scratch));
        break;
      case ex::kLineId:
        if (f.type == Type::kBytes) row.line_id.Add(f.bytes, scratch);
        break;
      case ex::kLabel: AddElements(f, Type::kFixed32, &row.label, scratch); break;
      case ex::kInstanceWeight:
        if (f.type != Type::kFixed32) break;
        row.has_weight = f.scalar != 0;  // as proto3 tells unset: by the bits, -0 is a value
        row.weight = f.AsFloat();
        break;
      case ex::kDataSourceKey:
        if (f.type == Type::kVarint) data_source_key = static_cast<uint32_t>(f.scalar);
        break;
      default: break;
    }
  }
  CheckLineId(row.line_id.view());
  if (reserved.line_id.present()) row.line_id = reserved.line_id;
  if (reserved.label.present()) row.label = reserved.label;
  if (reserved.has_weight) {
    row.has_weight = true;
    row.weight = reserved.weight;
  }
}

}  // namespace monolith
