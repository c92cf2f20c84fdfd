#include "core/operators/feature_hash.h"

#include "core/base/error.h"
#include "core/base/fid.h"
#include "core/base/hash.h"
#include "core/parse/quantised.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;
using namespace schema::feature;

void AppendFid(uint64_t f, std::string* packed) { packed->append(reinterpret_cast<const char*>(&f), 8); }

void AppendPacked(uint32_t number, std::string_view packed, std::string* out) {
  if (!packed.empty()) wire::Writer(out).Bytes(number, packed);
}

}  // namespace

FeatureHash::FeatureHash(FeatureHashConfig config) : config_(std::move(config)), scan_(config_.type) {
  RequireRows(config_.type, "pb-feature --hash");
  for (size_t i = 0; i < config_.rules.size(); ++i) {
    const FeatureHashConfig::Rule& rule = config_.rules[i];
    fid::CheckedV2(rule.slot, 0);
    if (config_.type == RecordType::kInstance && fid::NamedSlotV1(rule.name) >= 0)
      throw Error(ErrorCode::kUsage, "'" + rule.name + "' stands for v1 fids in an instance already");
    if (scan_.Want(rule.name) != static_cast<int>(i)) throw Error(ErrorCode::kUsage, "feature '" + rule.name + "' is to be hashed twice");
  }
  if (config_.type == RecordType::kExample) scan_.WantRaw();
  named_.resize(config_.rules.size());
}

uint64_t FeatureHash::OfInteger(size_t rule, uint64_t value) const {
  return fid::Extract(config_.rules[rule].slot, static_cast<int64_t>(value), config_.exact);
}

uint64_t FeatureHash::OfBytes(size_t rule, std::string_view value) {
  text_.assign(value);
  text_ += '-';
  text_ += config_.rules[rule].name;
  return fid::MakeV2(config_.rules[rule].slot, CityHash64(text_));
}

void FeatureHash::AddIntegers(size_t rule, std::string_view message, uint32_t number, std::string* packed) {
  ForEachVarintOf(message, number, origin_, [&](uint64_t value) { AppendFid(OfInteger(rule, value), packed); });
}

void FeatureHash::AddTexts(size_t rule, std::string_view message, uint32_t number, std::string* packed) {
  ForEachBytesOf(message, number, origin_, [&](std::string_view value) { AppendFid(OfBytes(rule, value), packed); });
}

template <class Add>
void FeatureHash::AddLists(std::string_view lists, uint32_t to, std::string* out, Add add) {
  std::string packed, list;
  ForEachBytesOf(lists, schema::kListsList, origin_, [&](std::string_view one) {
    packed.clear();
    list.clear();
    add(one, &packed);
    AppendPacked(schema::kListValue, packed, &list);
    wire::Writer(out).Bytes(to, list);
  });
}

bool FeatureHash::HashValue(size_t rule, const FeatureValue& value, std::string* out) {
  std::string packed, content;
  uint32_t member = kFidV2List;
  switch (value.number) {
    case kInt64List: AddIntegers(rule, value.bytes, schema::kListValue, &packed); break;
    case kBytesList: AddTexts(rule, value.bytes, schema::kListValue, &packed); break;
    case kBytesValue: AppendFid(OfBytes(rule, value.bytes), &packed); break;
    case kInt64Lists:
    case kBytesLists:
      member = kFidV2Lists;
      AddLists(value.bytes, schema::kListsList, &content, [&](std::string_view list, std::string* fids) {
        value.number == kInt64Lists ? AddIntegers(rule, list, schema::kListValue, fids) : AddTexts(rule, list, schema::kListValue, fids);
      });
      break;
    default: return false;
  }
  AppendPacked(schema::kListValue, packed, &content);
  wire::Writer(out).Bytes(member, content);
  return true;
}

void FeatureHash::AppendUnknown(std::string_view feature, std::string* out) {
  Cursor c(feature, origin_);
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    c.Skip(tag);
    const uint32_t number = tag >> 3;
    if (number == 0 || number > kFidV1Lists || tag != FeatureTag(number)) out->append(begin, static_cast<size_t>(c.at() - begin));
  }
}

bool FeatureHash::HashNamed(size_t rule, std::string_view named, std::string* out) {
  const uint32_t feature_tag = Key(schema::named_feature::kFeature, Type::kBytes);
  FeatureValue value;
  std::optional<uint64_t> number;  // of int64_value, which FeatureValue does not keep
  ForEachBytesOf(named, schema::named_feature::kFeature, origin_, [&](std::string_view feature) {
    value.Merge(feature, origin_, &storage_);
    Cursor c(feature, origin_);
    while (!c.done()) {
      const uint32_t tag = c.Tag();
      if (tag == Key(kInt64Value, Type::kVarint)) {
        number = c.Varint();
      } else {
        c.Skip(tag);
      }
    }
  });
  feature_.clear();
  if (value.number == kInt64Value) {
    value_.clear();
    std::string packed;
    AppendFid(OfInteger(rule, *number), &packed);
    AppendPacked(schema::kListValue, packed, &value_);
    wire::Writer(&feature_).Bytes(kFidV2List, value_);
  } else if (!HashValue(rule, value, &feature_)) {
    return false;
  }
  ForEachBytesOf(named, schema::named_feature::kFeature, origin_,
                 [&](std::string_view feature) { AppendUnknown(feature, &feature_); });
  bool written = false;
  Cursor c(named, origin_);
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    c.Skip(tag);
    if (tag != feature_tag) {
      out->append(begin, static_cast<size_t>(c.at() - begin));
    } else if (!written) {
      wire::Writer(out).Bytes(schema::named_feature::kFeature, feature_);
      written = true;
    }
  }
  return true;
}

bool FeatureHash::HashColumn(size_t rule, std::string_view column, std::string* out) {
  namespace column_field = schema::column;
  bool changed = false;
  Cursor c(column, origin_);
  std::string packed, list;
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    packed.clear();
    list.clear();
    std::string_view content;
    if ((tag & 7) == static_cast<uint32_t>(Type::kBytes)) {
      content = c.Bytes();
    } else if (tag != Key(column_field::kInt64Value, Type::kVarint)) {
      c.Skip(tag);
    }
    switch (tag) {
      case Key(column_field::kInt64Value, Type::kVarint): AppendFid(OfInteger(rule, c.Varint()), &packed); break;
      case Key(column_field::kInt64Value, Type::kBytes): {
        Cursor values(content, origin_);
        while (!values.done()) AppendFid(OfInteger(rule, values.Varint()), &packed);
        break;
      }
      case Key(column_field::kBytesValue, Type::kBytes):
        if (IsQuantised(content)) {
          out->append(begin, static_cast<size_t>(c.at() - begin));
          continue;
        }
        AppendFid(OfBytes(rule, content), &packed);
        break;
      case Key(column_field::kInt64List, Type::kBytes): AddIntegers(rule, content, schema::kListValue, &packed); break;
      case Key(column_field::kBytesList, Type::kBytes): AddTexts(rule, content, schema::kListValue, &packed); break;
      default: out->append(begin, static_cast<size_t>(c.at() - begin)); continue;
    }
    changed = true;
    if (tag >> 3 == column_field::kInt64List || tag >> 3 == column_field::kBytesList) {
      AppendPacked(schema::kListValue, packed, &list);
      wire::Writer(out).Bytes(column_field::kFidList, list);
    } else {
      AppendPacked(column_field::kFid, packed, out);
    }
  }
  return changed;
}

void FeatureHash::AddRawPart(size_t rule, std::string_view feature, uint32_t* member, std::string* content) {
  FeatureValue value;
  value.Merge(feature, origin_, &storage_);
  uint32_t to = value.number;
  if (to == kBytesList) to = kFidV2List;
  if (to == kBytesLists) to = kFidV2Lists;
  const bool numbers = to == kFloatList || to == kDoubleList || to == kInt64List || to == kFloatLists || to == kDoubleLists || to == kInt64Lists;
  if (!numbers && value.number != kBytesList && value.number != kBytesLists) return;
  if (to != *member) content->clear();
  *member = to;
  if (numbers) {
    content->append(value.bytes);
  } else if (value.number == kBytesList) {
    std::string packed;
    AddTexts(rule, value.bytes, schema::kListValue, &packed);
    AppendPacked(schema::kListValue, packed, content);
  } else {
    AddLists(value.bytes, schema::kListsList, content,
             [&](std::string_view list, std::string* fids) { AddTexts(rule, list, schema::kListValue, fids); });
  }
}

void FeatureHash::AppendRaw(size_t rule, std::string_view raw, std::string* out) {
  namespace nrf = schema::named_raw_feature;
  uint32_t member = 0;
  uint64_t id = 0;
  value_.clear();
  Cursor c(raw, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(nrf::kRawFeature, Type::kBytes)) {
      ForEachBytesOf(c.Bytes(), schema::raw_feature::kFeature, origin_,
                     [&](std::string_view feature) { AddRawPart(rule, feature, &member, &value_); });
    } else if (tag == Key(nrf::kId, Type::kVarint)) {
      id = c.Varint();
    } else {
      c.Skip(tag);
    }
  }
  feature_.clear();
  if (member) wire::Writer(&feature_).Bytes(member, value_);
  message_.clear();
  wire::Writer w(&message_);
  w.Bytes(schema::named_feature::kName, config_.rules[rule].name);
  if (member) w.Bytes(schema::named_feature::kFeature, feature_);
  if (id) w.Varint(schema::named_feature::kId, id);
  wire::Writer(out).Bytes(schema::example::kNamedFeature, message_);
}

void FeatureHash::Process(const Record& record, RecordSink* next) {
  origin_ = record.payload.data();
  if (!storage_.empty()) storage_.clear();
  edit_.Begin(record);
  bool any = false;
  std::fill(named_.begin(), named_.end(), 0);
  const std::vector<FeatureScan::Found>& found = scan_.Load(record.payload);
  for (const FeatureScan::Found& f : found) {
    if (f.kind != FeatureScan::Kind::kNamed) continue;
    const size_t rule = static_cast<size_t>(f.name);
    named_[rule] = 1;
    message_.clear();
    const bool instance = config_.type == RecordType::kInstance;
    if (!(instance ? HashColumn(rule, f.content, &message_) : HashNamed(rule, f.content, &message_))) continue;
    wire::Writer(edit_.Replace(f.field)).Bytes(instance ? schema::instance::kFeature : schema::example::kNamedFeature, message_);
    any = true;
  }
  for (const FeatureScan::Found& f : found) {
    if (f.kind != FeatureScan::Kind::kRaw || named_[static_cast<size_t>(f.name)]) continue;
    AppendRaw(static_cast<size_t>(f.name), f.content, edit_.Rest());
    any = true;
  }
  next->Write(any ? edit_.Made() : record);
}

}  // namespace monolith
