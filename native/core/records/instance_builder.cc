#include "core/records/instance_builder.h"

namespace monolith {

using wire::Field;
using wire::Reader;
using wire::Type;
using wire::Writer;
namespace column = schema::column;
namespace feature = schema::feature;

namespace {

// The field of a column that takes a kind of feature; 0 where an Instance has no place for it.
uint32_t ColumnField(uint32_t kind) {
  switch (kind) {
    case feature::kFidV2List: return column::kFid;
    case feature::kFloatList: return column::kFloatValue;
    case feature::kInt64List: return column::kInt64Value;
    case feature::kBytesList: return column::kBytesValue;
    case feature::kFidV2Lists: return column::kFidList;
    case feature::kFloatLists: return column::kFloatList;
    case feature::kInt64Lists: return column::kInt64List;
    case feature::kBytesLists: return column::kBytesList;
    default: return 0;
  }
}

}  // namespace

void InstanceBuilder::Add(std::string_view name, std::string_view bytes, Scratch* scratch) {
  const FeatureContent value = ReadFeature(bytes, scratch);
  if (value.kind == 0) return;
  if (value.kind == feature::kFidV1List) {
    fids_.append(ListElements(value.content, Type::kFixed64, scratch));
    return;
  }
  Writer w(&columns_);
  const uint32_t to = ColumnField(value.kind);
  const size_t name_size = BytesSize(column::kName, name.size());
  if (to == column::kFid || to == column::kFloatValue || to == column::kInt64Value) {
    const std::string_view packed = ListElements(value.content, ElementType(value.kind), scratch);
    w.Tag(schema::instance::kFeature, Type::kBytes);
    w.RawVarint(name_size + (packed.empty() ? 0 : BytesSize(to, packed.size())));
    w.Bytes(column::kName, name);
    if (!packed.empty()) w.Bytes(to, packed);
    return;
  }
  std::string* body = scratch->New();
  Writer(body).Bytes(column::kName, name);
  if (to) {
    Reader reader(value.content);
    Field f;
    while (reader.Next(&f))
      if (f.number == schema::kListValue && f.type == Type::kBytes) Writer(body).Bytes(to, f.bytes);
  }
  w.Bytes(schema::instance::kFeature, *body);
}

void InstanceBuilder::Finish(const RowFields& row, uint32_t data_source_key, std::string* out) const {
  namespace in = schema::instance;
  Writer w(out);
  if (!fids_.empty()) w.Bytes(in::kFid, fids_);
  if (!row.label.view().empty()) w.Bytes(in::kLabel, row.label.view());
  if (row.has_weight) w.Float(in::kInstanceWeight, row.weight);
  if (row.line_id.present()) w.Bytes(in::kLineId, row.line_id.view());
  w.Raw(columns_);
  if (data_source_key) w.Varint(in::kDataSourceKey, data_source_key);
}

}  // namespace monolith
