#include "core/operators/derived_feature.h"

#include <algorithm>

#include "core/base/error.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;

size_t CountBytes(std::string_view message, uint32_t number, const char* origin) {
  size_t n = 0;
  ForEachBytesOf(message, number, origin, [&](std::string_view) { ++n; });
  return n;
}

template <size_t width>
size_t CountFixed(std::string_view message, uint32_t number, const char* origin) {
  size_t n = 0;
  ForEachFixedRun<width>(message, number, origin, [&](std::string_view run) { n += run.size() / width; });
  return n;
}

size_t CountVarints(std::string_view message, uint32_t number, const char* origin) {
  size_t n = 0;
  ForEachVarintOf(message, number, origin, [&](uint64_t) { ++n; });
  return n;
}

}  // namespace

void FeatureContent::Begin(RecordType type, int slot, const char* origin) {
  type_ = type;
  slot_ = slot;
  origin_ = origin;
  messages_.clear();
  flat_.clear();
  if (!storage_.empty()) storage_.clear();
}

void FeatureContent::Add(const FeatureScan::Found& found) {
  if (found.kind == FeatureScan::Kind::kFids) return flat_.push_back(found.content);
  if (type_ == RecordType::kExample) messages_.clear();
  messages_.push_back(found.content);
}

FeatureValue FeatureContent::Value() {
  FeatureValue value;
  for (std::string_view named : messages_)
    ForEachBytesOf(named, schema::named_feature::kFeature, origin_,
                   [&](std::string_view feature) { value.Merge(feature, origin_, &storage_); });
  return value;
}

size_t FeatureContent::ExampleLength() {
  using namespace schema::feature;
  const FeatureValue value = Value();
  switch (value.number) {
    case kFidV1List:
    case kFidV2List:
    case kDoubleList: return CountFixed<8>(value.bytes, schema::kListValue, origin_);
    case kFloatList: return CountFixed<4>(value.bytes, schema::kListValue, origin_);
    case kInt64List: return CountVarints(value.bytes, schema::kListValue, origin_);
    case kBytesList: return CountBytes(value.bytes, schema::kListValue, origin_);
    case 0: return 0;
    case kInt64Value:
    case kFloatValue:
    case kDoubleValue:
    case kBytesValue: return 1;
    default: return CountBytes(value.bytes, schema::kListsList, origin_);
  }
}

// By convention one of its lists is filled.
size_t FeatureContent::ColumnLength(std::string_view column) {
  using namespace schema::column;
  size_t n = CountFixed<8>(column, kFid, origin_) + CountFixed<4>(column, kFloatValue, origin_) +
             CountVarints(column, kInt64Value, origin_) + CountBytes(column, kBytesValue, origin_);
  for (uint32_t lists : {kFidList, kFloatList, kInt64List, kBytesList}) n += CountBytes(column, lists, origin_);
  return n;
}

size_t FeatureContent::Length() {
  if (type_ == RecordType::kExample) return ExampleLength();
  size_t n = 0;
  for (std::string_view column : messages_) n += ColumnLength(column);
  if (messages_.empty()) ForEachRun([&](std::string_view fids, bool) { n += fids.size() / 8; });
  return n;
}

DerivedFeature::DerivedFeature(RecordType type, const char* who, const std::vector<Spec>& specs) : scan_(type) {
  RequireRows(type, who);
  for (const Spec& spec : specs) {
    CheckNewName(type, spec.name);
    places_.push_back({source_names_.size(), spec.sources.size(), scan_.Want(spec.name), spec.name});
    for (const std::string& source : spec.sources) {
      const int slot = type == RecordType::kInstance ? fid::NamedSlotV1(source) : -1;
      if (slot >= 0) scan_.WantFids();
      source_names_.push_back(scan_.Want(source));
      source_slots_.push_back(slot);
    }
  }
  sources_.resize(source_names_.size());
}

void DerivedFeature::Process(const Record& record, RecordSink* next) {
  const char* const origin = record.payload.data();
  const std::vector<FeatureScan::Found>& found = scan_.Load(record.payload);
  for (size_t i = 0; i < sources_.size(); ++i) sources_[i].Begin(scan_.type(), source_slots_[i], origin);
  edit_.Begin(record);
  for (const FeatureScan::Found& f : found) {
    const bool flat = f.kind == FeatureScan::Kind::kFids;
    for (size_t i = 0; i < sources_.size(); ++i)
      if (flat ? source_slots_[i] >= 0 : source_names_[i] == f.name) sources_[i].Add(f);
    if (!flat && std::any_of(places_.begin(), places_.end(), [&](const Place& p) { return p.name == f.name; }))
      edit_.Replace(f.field);
  }
  std::string* out = edit_.Rest();
  for (size_t i = 0; i < places_.size(); ++i) {
    packed_.clear();
    const NewFeature kind = Make(i, sources_.data() + places_[i].first, &packed_);
    AppendFeature(scan_.type(), places_[i].text, kind, packed_, out);
  }
  next->Write(edit_.Made());
}

}  // namespace monolith
