#include "core/operators/record_edit.h"

#include "core/wire/schema.h"

namespace monolith {
namespace {

void AppendColumn(std::string_view name, uint32_t number, std::string_view packed, std::string* out) {
  wire::Writer w(out);
  w.Tag(schema::instance::kFeature, wire::Type::kBytes);
  w.RawVarint(BytesFieldLength(schema::column::kName, name.size()) + (packed.empty() ? 0 : BytesFieldLength(number, packed.size())));
  w.Bytes(schema::column::kName, name);
  if (!packed.empty()) w.Bytes(number, packed);
}

void AppendNamed(std::string_view name, uint32_t member, std::string_view packed, std::string* out) {
  const size_t list = packed.empty() ? 0 : BytesFieldLength(schema::kListValue, packed.size());
  const size_t feature = BytesFieldLength(member, list);
  wire::Writer w(out);
  w.Tag(schema::example::kNamedFeature, wire::Type::kBytes);
  w.RawVarint(BytesFieldLength(schema::named_feature::kName, name.size()) +
              BytesFieldLength(schema::named_feature::kFeature, feature));
  w.Bytes(schema::named_feature::kName, name);
  w.Tag(schema::named_feature::kFeature, wire::Type::kBytes);
  w.RawVarint(feature);
  w.Tag(member, wire::Type::kBytes);
  w.RawVarint(list);
  if (!packed.empty()) w.Bytes(schema::kListValue, packed);
}

}  // namespace

void AppendFeature(RecordType type, std::string_view name, NewFeature kind, std::string_view packed, std::string* out) {
  const bool fids = kind == NewFeature::kFids, floats = kind == NewFeature::kFloats;
  if (type == RecordType::kInstance) {
    const uint32_t number = fids ? schema::column::kFid : floats ? schema::column::kFloatValue : schema::column::kInt64Value;
    return AppendColumn(name, number, packed, out);
  }
  AppendNamed(name, fids ? schema::feature::kFidV2List : floats ? schema::feature::kFloatList : schema::feature::kInt64List, packed, out);
}

}  // namespace monolith
