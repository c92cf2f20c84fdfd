#include "core/records/pieces.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;

void CheckVarints(const Field& field) {
  int length = 0;
  for (const char c : field.bytes) {
    length = static_cast<int8_t>(c) < 0 ? length + 1 : 0;
    if (length == 10) break;
  }
  if (length) throw BadRecord("packed field " + std::to_string(field.number) + " holds a number that is cut short");
}

std::string_view UnpackedVarint(const Field& field) {
  const char* p = field.begin;
  while (static_cast<int8_t>(*p) < 0) ++p;
  return {p + 1, static_cast<size_t>(field.end - p - 1)};
}

void CheckList(std::string_view list, Type own) {
  Reader reader(list);
  Field f;
  std::string_view elements;
  while (reader.Next(&f))
    if (f.number == schema::kListValue && own != Type::kBytes) Elements(f, own, &elements);
}

void CheckLists(std::string_view lists, Type own) {
  Reader reader(lists);
  Field f;
  while (reader.Next(&f))
    if (f.number == schema::kListsList && f.type == Type::kBytes) CheckList(f.bytes, own);
}

bool IsLists(uint32_t kind) {
  return (kind >= schema::feature::kFidV2Lists && kind <= schema::feature::kBytesLists) ||
         kind == schema::feature::kFidV1Lists;
}

Type WireTypeOf(uint32_t kind) {
  switch (kind) {
    case schema::feature::kInt64Value: return Type::kVarint;
    case schema::feature::kFloatValue: return Type::kFixed32;
    case schema::feature::kDoubleValue: return Type::kFixed64;
    default: return Type::kBytes;
  }
}

// Length of the UTF-8 sequence at s, 0 when there is none: no surrogates, nothing overlong, at most U+10FFFF.
size_t Utf8Length(const uint8_t* s, size_t n) {
  const auto more = [&](size_t i, uint8_t low = 0x80, uint8_t high = 0xbf) {
    return i < n && s[i] >= low && s[i] <= high;
  };
  const uint8_t c = s[0];
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c <= 0xdf) return more(1) ? 2 : 0;
  if (c >= 0xe0 && c <= 0xef) return more(1, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf) && more(2) ? 3 : 0;
  if (c >= 0xf0 && c <= 0xf4)
    return more(1, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf) && more(2) && more(3) ? 4 : 0;
  return 0;
}

}  // namespace

bool Elements(const Field& field, Type own, std::string_view* elements) {
  if (field.type == own) {
    const size_t width = own == Type::kFixed64 ? 8 : 4;
    *elements = own == Type::kVarint ? UnpackedVarint(field) : std::string_view(field.end - width, width);
    return true;
  }
  if (field.type != Type::kBytes) return false;
  if (own == Type::kVarint)
    CheckVarints(field);
  else if (field.bytes.size() % (own == Type::kFixed64 ? 8 : 4) != 0)
    throw BadRecord("packed field " + std::to_string(field.number) + " holds a number that is cut short");
  *elements = field.bytes;
  return true;
}

std::string_view ListElements(std::string_view list, Type own, Scratch* scratch) {
  Merged all;
  Reader reader(list);
  Field f;
  while (reader.Next(&f))
    if (f.number == schema::kListValue) AddElements(f, own, &all, scratch);
  return all.view();
}

Type ElementType(uint32_t kind) {
  switch (kind) {
    case schema::feature::kFloatList:
    case schema::feature::kFloatLists: return Type::kFixed32;
    case schema::feature::kInt64List:
    case schema::feature::kInt64Lists: return Type::kVarint;
    case schema::feature::kBytesList:
    case schema::feature::kBytesLists: return Type::kBytes;
    default: return Type::kFixed64;
  }
}

FeatureContent ReadFeature(std::string_view feature, Scratch* scratch) {
  uint32_t kind = 0;
  Merged content;
  Reader reader(feature);
  Field f;
  while (reader.Next(&f)) {
    if (f.number < 1 || f.number > schema::feature::kFidV1Lists || f.type != WireTypeOf(f.number)) continue;
    // The last member set wins; a list that is set twice in a row is merged, bytes are replaced.
    if (f.number != kind || kind == schema::feature::kBytesValue) content.Clear();
    kind = f.number;
    if (f.type != Type::kBytes) continue;
    content.Add(f.bytes, scratch);
    if (kind == schema::feature::kBytesValue) continue;
    IsLists(kind) ? CheckLists(f.bytes, ElementType(kind)) : CheckList(f.bytes, ElementType(kind));
  }
  return {kind, content.view()};
}

void CheckRawFeature(std::string_view bytes, Scratch* scratch) {
  Reader reader(bytes);
  Field f;
  while (reader.Next(&f))
    if (f.number == schema::raw_feature::kFeature && f.type == Type::kBytes) ReadFeature(f.bytes, scratch);
}

void CheckLineId(std::string_view bytes) {
  Reader reader(bytes);
  Field f;
  std::string_view elements;
  while (reader.Next(&f))
    if (f.number == schema::line_id::kActions || f.number == schema::line_id::kPreActions ||
        f.number == schema::line_id::kSpecialStrategies)
      Elements(f, Type::kVarint, &elements);
}

void CheckUtf8(std::string_view name, const char* what) {
  const auto* s = reinterpret_cast<const uint8_t*>(name.data());
  for (size_t i = 0; i < name.size();) {
    const size_t n = Utf8Length(s + i, name.size() - i);
    if (n == 0) throw BadRecord(std::string(what) + " is not UTF-8");
    i += n;
  }
}

void WriteNamedFeature(uint32_t number, std::string_view name, uint64_t id, uint32_t kind, std::string_view content,
                       bool packed, std::string* out) {
  const size_t list = packed && !content.empty() ? BytesSize(schema::kListValue, content.size()) : content.size();
  const size_t feature = kind ? BytesSize(kind, list) : 0;
  size_t whole = BytesSize(schema::named_feature::kFeature, feature);
  if (!name.empty()) whole += BytesSize(schema::named_feature::kName, name.size());
  if (id) whole += 1 + VarintSize(id);
  wire::Writer w(out);
  w.Tag(number, Type::kBytes);
  w.RawVarint(whole);
  if (!name.empty()) w.Bytes(schema::named_feature::kName, name);
  w.Tag(schema::named_feature::kFeature, Type::kBytes);
  w.RawVarint(feature);
  if (kind) {
    w.Tag(kind, Type::kBytes);
    w.RawVarint(list);
    packed && !content.empty() ? w.Bytes(schema::kListValue, content) : w.Raw(content);
  }
  if (id) w.Varint(schema::named_feature::kId, id);
}

}  // namespace monolith
