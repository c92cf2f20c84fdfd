#include "core/operators/feature_scan.h"

#include "core/base/error.h"
#include "core/base/fid.h"
#include "core/wire/cursor.h"
#include "core/wire/schema.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;

// Name and content have the same numbers in all of them.
constexpr uint32_t kName = schema::named_feature::kName;
static_assert(kName == schema::column::kName && kName == schema::named_feature_list::kName &&
              kName == schema::named_raw_feature::kName && kName == schema::named_raw_feature_list::kName);
static_assert(schema::example::kNamedFeature == schema::example_batch::kNamedFeatureList &&
              schema::example::kNamedRawFeature == schema::example_batch::kNamedRawFeatureList);

bool IsReserved(std::string_view name) {
  return name == schema::kLineIdName || name == schema::kLabelName || name == schema::kInstanceWeightName;
}

}  // namespace

std::string_view FeatureName(std::string_view message, const char* origin) {
  std::string_view name;
  Cursor c(message, origin);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(kName, Type::kBytes)) {
      name = c.Bytes();
    } else {
      c.Skip(tag);
    }
  }
  return name;
}

void RequireRows(RecordType type, const std::string& who) {
  if (type != RecordType::kExampleBatch) return;
  throw Error(ErrorCode::kUsage, who + " works on single records, not on example_batch; expand it first: "
                                       "pb-convert --from example_batch --to example … | pb-feature --type example …");
}

void CheckNewName(RecordType type, std::string_view name) {
  const std::string shown = "'" + std::string(name) + "'";
  if (name.empty()) throw Error(ErrorCode::kUsage, "a feature needs a name");
  if (IsReserved(name)) throw Error(ErrorCode::kUsage, shown + " is reserved and cannot be the name of a new feature");
  if (type == RecordType::kInstance && fid::NamedSlotV1(name) >= 0)
    throw Error(ErrorCode::kUsage, shown + " stands for the v1 fids of a slot in an instance; a new column needs another name");
}

FeatureScan::FeatureScan(RecordType type)
    : type_(type),
      named_(Key(type == RecordType::kInstance ? schema::instance::kFeature : schema::example::kNamedFeature, Type::kBytes)),
      raw_(type == RecordType::kInstance ? 0 : Key(schema::example::kNamedRawFeature, Type::kBytes)) {}

void FeatureScan::Add(Kind kind, const char* begin, const char* end, std::string_view content, const char* origin) {
  const int name = names_.Find(FeatureName(content, origin));
  if (name == NameTable::kAbsent && !want_all_) return;
  found_.push_back({kind, name, {begin, static_cast<size_t>(end - begin)}, content});
}

const std::vector<FeatureScan::Found>& FeatureScan::Load(std::string_view payload) {
  found_.clear();
  const char* const origin = payload.data();
  const uint32_t packed_fids = type_ == RecordType::kInstance ? Key(schema::instance::kFid, Type::kBytes) : 0;
  const uint32_t one_fid = type_ == RecordType::kInstance ? Key(schema::instance::kFid, Type::kFixed64) : 0;
  Cursor c(payload, origin);
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    if (tag == named_ || (tag == raw_ && want_raw_)) {
      const std::string_view content = c.Bytes();
      Add(tag == named_ ? Kind::kNamed : Kind::kRaw, begin, c.at(), content, origin);
    } else if (tag == packed_fids || tag == one_fid) {
      const std::string_view fids = tag == one_fid ? c.Fixed64() : wire::PackedOf(c.Bytes(), 8, c);
      if (want_fids_)
        found_.push_back({Kind::kFids, NameTable::kAbsent, {begin, static_cast<size_t>(c.at() - begin)}, fids});
    } else {
      c.Skip(tag);
    }
  }
  return found_;
}

}  // namespace monolith
