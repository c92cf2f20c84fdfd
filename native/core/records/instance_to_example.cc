#include "core/records/instance_to_example.h"

#include "core/base/fid.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;
namespace column = schema::column;
namespace feature = schema::feature;

struct Kind {
  Type element;      // of a list's values
  uint32_t feature;  // what it becomes
  bool lists;
};
// By field number of a column, from kFid on: the first that is filled is the one that counts.
constexpr Kind kKinds[] = {
    {Type::kFixed64, feature::kFidV2List, false}, {Type::kFixed32, feature::kFloatList, false},
    {Type::kVarint, feature::kInt64List, false},  {Type::kBytes, feature::kBytesList, false},
    {Type::kFixed64, feature::kFidV2Lists, true}, {Type::kFixed32, feature::kFloatLists, true},
    {Type::kVarint, feature::kInt64Lists, true},  {Type::kBytes, feature::kBytesLists, true},
};

const Kind* KindOf(uint32_t number) {
  return number >= column::kFid && number <= column::kBytesList ? &kKinds[number - column::kFid] : nullptr;
}

// True when this occurrence of a column's list holds an element.
bool HasElement(const Field& f, const Kind& kind) {
  if (kind.lists || kind.element == Type::kBytes) return f.type == Type::kBytes;
  std::string_view elements;
  return Elements(f, kind.element, &elements) && !elements.empty();
}

void CheckInnerList(const Field& f, Type element) {
  if (f.type != Type::kBytes) return;
  Reader reader(f.bytes);
  Field inner;
  std::string_view elements;
  while (reader.Next(&inner))
    if (inner.number == schema::kListValue && element != Type::kBytes) Elements(inner, element, &elements);
}

void CheckLabelTag(const Field& f) {
  if (f.type != Type::kBytes) return;
  Reader reader(f.bytes);
  for (Field inner; reader.Next(&inner);) {
  }
}

}  // namespace

void InstanceToExample::Read(std::string_view instance) {
  namespace in = schema::instance;
  scratch_.Reset();
  columns_.clear();
  for (Merged* m : {&fids_, &value_, &label_, &line_id_}) m->Clear();
  weight_ = 1;
  std::string_view ignored;
  Reader reader(instance);
  Field f;
  while (reader.Next(&f)) {
    switch (f.number) {
      case in::kFid: AddElements(f, Type::kFixed64, &fids_, &scratch_); break;
      case in::kValue: AddElements(f, Type::kFixed32, &value_, &scratch_); break;
      case in::kLabel: AddElements(f, Type::kFixed32, &label_, &scratch_); break;
      case in::kInstanceWeight:
        if (f.type == Type::kFixed32) weight_ = f.AsFloat();
        break;
      case in::kLineId:
        if (f.type == Type::kBytes) line_id_.Add(f.bytes, &scratch_);
        break;
      case in::kDense: Elements(f, Type::kFixed32, &ignored); break;
      case in::kNextFid: Elements(f, Type::kFixed64, &ignored); break;
      case in::kLabelTag: CheckLabelTag(f); break;
      case in::kFeature:
        if (f.type == Type::kBytes) columns_.push_back(f.bytes);
        break;
      default: break;
    }
  }
  CheckLineId(line_id_.view());
}

void InstanceToExample::Convert(std::string_view instance, std::string* out) {
  Read(instance);
  uint64_t id = 0;
  if (!value_.view().empty())
    WriteNamedFeature(schema::example::kNamedFeature, "value", id++, feature::kFloatList, value_.view(), true, out);
  WriteSlots(&id, out);
  for (const std::string_view c : columns_) WriteColumn(c, id++, out);
  wire::Writer w(out);
  if (line_id_.present()) w.Bytes(schema::example::kLineId, line_id_.view());
  if (!label_.view().empty()) w.Bytes(schema::example::kLabel, label_.view());
  uint32_t bits;
  std::memcpy(&bits, &weight_, 4);
  if (bits) w.Fixed32(schema::example::kInstanceWeight, bits);
}

void InstanceToExample::WriteSlots(uint64_t* id, std::string* out) {
  const size_t n = fids_.view().size() / 8;
  if (n == 0) return;
  const char* fids = fids_.view().data();
  if (group_of_.empty()) group_of_.assign(fid::kSlotsV1, 0);
  groups_.clear();
  for (size_t i = 0; i < n; ++i) {
    const auto slot = static_cast<uint32_t>(fid::SlotV1(LoadLe<uint64_t>(fids + 8 * i)));
    if (!group_of_[slot]) {
      groups_.push_back({slot});
      group_of_[slot] = static_cast<uint32_t>(groups_.size());
    }
    ++groups_[group_of_[slot] - 1].count;
  }
  uint32_t at = 0;
  for (Group& g : groups_) {
    g.at = at;
    at += g.count;
  }
  sorted_.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const uint64_t f = LoadLe<uint64_t>(fids + 8 * i);
    sorted_[groups_[group_of_[fid::SlotV1(f)] - 1].at++] = f;
  }
  for (const Group& g : groups_) {
    group_of_[g.slot] = 0;
    char name[24] = "fc_slot_";
    size_t length = 8;
    for (uint32_t scale = g.slot >= 1000 ? 1000 : g.slot >= 100 ? 100 : g.slot >= 10 ? 10 : 1; scale; scale /= 10)
      name[length++] = static_cast<char>('0' + g.slot / scale % 10);
    const std::string_view values(reinterpret_cast<const char*>(&sorted_[g.at - g.count]), size_t{g.count} * 8);
    WriteNamedFeature(schema::example::kNamedFeature, {name, length}, (*id)++, feature::kFidV1List, values, true, out);
  }
}

void InstanceToExample::WriteColumn(std::string_view bytes, uint64_t id, std::string* out) {
  std::string_view name;
  uint32_t filled = column::kBytesList + 1;
  Field f;
  for (Reader reader(bytes); reader.Next(&f);) {
    if (f.number == column::kName && f.type == Type::kBytes) name = f.bytes;
    const Kind* kind = KindOf(f.number);
    if (!kind) continue;
    if (kind->lists) CheckInnerList(f, kind->element);
    if (HasElement(f, *kind) && f.number < filled) filled = f.number;
  }
  CheckUtf8(name, "the name of a column");
  const Kind* kind = KindOf(filled);
  if (!kind) return WriteNamedFeature(schema::example::kNamedFeature, name, id, 0, {}, false, out);

  const bool packed = !kind->lists && kind->element != Type::kBytes;
  Merged content;
  std::string* list = packed ? nullptr : scratch_.New();
  for (Reader reader(bytes); reader.Next(&f);) {
    if (f.number != filled) continue;
    if (packed)
      AddElements(f, kind->element, &content, &scratch_);
    else if (f.type == Type::kBytes)
      wire::Writer(list).Bytes(schema::kListValue, f.bytes);
  }
  WriteNamedFeature(schema::example::kNamedFeature, name, id, kind->feature, packed ? content.view() : *list, packed,
                    out);
}

}  // namespace monolith
