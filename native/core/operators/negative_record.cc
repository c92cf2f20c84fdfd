#include "core/operators/negative_record.h"

#include "core/base/error.h"
#include "core/records/feature_value.h"
#include "core/wire/cursor.h"
#include "core/wire/schema.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;

constexpr uint64_t kDefaultChannel = 3;

RecordType CheckedType(RecordType type) {
  if (type == RecordType::kExampleBatch)
    throw Error(ErrorCode::kUsage,
                "pb-negative-gen works on single records, not on example_batch; expand it first: pb-convert --from "
                "example_batch --to example … | pb-negative-gen --type example …");
  return type;
}

uint32_t SlotOf(const std::string& text) {
  uint32_t slot = 0;
  for (char c : text) slot = c < '0' || c > '9' || slot > 1023 ? 1024 : slot * 10 + static_cast<uint32_t>(c - '0');
  if (text.empty() || slot > 1023)
    throw Error(ErrorCode::kUsage, "feature '" + text + "': features of an instance are slots, 0 to 1023");
  return slot;
}

void AppendTo(std::string* out, const char* begin, const char* end) { out->append(begin, static_cast<size_t>(end - begin)); }

}  // namespace

NegativeRecord::NegativeRecord(NegativeRecordConfig config)
    : config_(std::move(config)),
      weight_number_(CheckedType(config_.type) == RecordType::kInstance ? schema::instance::kInstanceWeight
                                                                        : schema::example::kInstanceWeight) {
  actions_ = line_id_.Want(*FindLineIdField("actions"));
  item_id_place_ = line_id_.Want(*FindLineIdField("item_id"));
  for (const std::string& feature : config_.item_features) SetRole(feature, kItem);
  if (config_.channel_feature) SetRole(*config_.channel_feature, kChannel);
  if (config_.index_feature) SetRole(*config_.index_feature, kIndex);
  if (config_.type == RecordType::kInstance) return;
  SetRole(schema::kLineIdName, kReservedLineId);
  SetRole(schema::kLabelName, kReservedLabel);
  SetRole(schema::kInstanceWeightName, kReservedWeight);
}

void NegativeRecord::SetRole(const std::string& feature, Role role) {
  if (config_.type == RecordType::kInstance) {
    slot_roles_[SlotOf(feature)] |= role;
    return;
  }
  const size_t number = static_cast<size_t>(names_.Add(feature));
  name_roles_.resize(names_.size());
  last_of_name_.resize(names_.size());
  name_roles_[number] |= role;
}

void NegativeRecord::Load(std::string_view payload) {
  payload_ = payload;
  pieces_.clear();
  weight_place_ = nullptr;
  weights_ = labels_ = 0;
  line_id_.Reset();
  label_ = nullptr;
  reserved_[0] = reserved_[1] = -1;
  reserved_weight_ = false;
  if (!storage_.empty()) storage_.clear();
  config_.type == RecordType::kInstance ? LoadInstance(payload) : LoadExample(payload);
  if (!weight_place_) weight_place_ = payload.data() + payload.size();
}

inline void NegativeRecord::Add(Kind kind, const char* begin, const char* end, std::string_view value) {
  if (kind == Kind::kOther && !pieces_.empty() && pieces_.back().kind == Kind::kOther && begin != weight_place_) {
    pieces_.back().end = end;
    return;
  }
  pieces_.push_back({kind, 0, 0, begin, end, value});
}

void NegativeRecord::AddLabels(std::string_view run) {
  const size_t n = run.size() / 4;
  if (config_.label_index >= labels_ && config_.label_index - labels_ < n)
    label_ = run.data() + 4 * (config_.label_index - labels_);
  labels_ += n;
}

void NegativeRecord::LoadInstance(std::string_view payload) {
  using namespace schema::instance;
  const char* const origin = payload.data();
  Cursor c(payload, origin);
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    if (!weight_place_ && tag >> 3 > kInstanceWeight) weight_place_ = begin;
    Kind kind = Kind::kOther;
    std::string_view value;
    switch (tag) {
      case Key(kFid, Type::kBytes):
        kind = Kind::kFid, value = wire::PackedOf(c.Bytes(), 8, c);
        break;
      case Key(kFid, Type::kFixed64):
        kind = Kind::kFid, value = c.Fixed64();
        break;
      case Key(kLabel, Type::kBytes):
        kind = Kind::kLabel, value = wire::PackedOf(c.Bytes(), 4, c);
        AddLabels(value);
        break;
      case Key(kLabel, Type::kFixed32):
        kind = Kind::kLabel, value = c.Fixed32();
        AddLabels(value);
        break;
      case Key(kInstanceWeight, Type::kFixed32):
        kind = Kind::kWeight, value = c.Fixed32();
        ++weights_;
        break;
      case Key(kLineId, Type::kBytes):
        kind = Kind::kLineId, value = c.Bytes();
        line_id_.Merge(value, origin);
        break;
      default:
        c.Skip(tag);
    }
    Add(kind, begin, c.at(), value);
  }
}

void NegativeRecord::LoadExample(std::string_view payload) {
  using namespace schema::example;
  const char* const origin = payload.data();
  Cursor c(payload, origin);
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    if (!weight_place_ && tag >> 3 > kInstanceWeight) weight_place_ = begin;
    Kind kind = Kind::kOther;
    std::string_view value;
    switch (tag) {
      case Key(kNamedFeature, Type::kBytes):
        value = c.Bytes();
        AddFeature(begin, c.at(), value);
        continue;
      case Key(kNamedRawFeature, Type::kBytes):
        kind = Kind::kRaw, value = c.Bytes();
        break;
      case Key(kLabel, Type::kBytes):
        kind = Kind::kLabel, value = wire::PackedOf(c.Bytes(), 4, c);
        AddLabels(value);
        break;
      case Key(kLabel, Type::kFixed32):
        kind = Kind::kLabel, value = c.Fixed32();
        AddLabels(value);
        break;
      case Key(kInstanceWeight, Type::kFixed32):
        kind = Kind::kWeight, value = c.Fixed32();
        ++weights_;
        break;
      case Key(kLineId, Type::kBytes):
        kind = Kind::kLineId, value = c.Bytes();
        line_id_.Merge(value, origin);
        break;
      default:
        c.Skip(tag);
    }
    Add(kind, begin, c.at(), value);
  }
  ApplyReserved();
}

// Features without a role that follow each other are one piece.
inline void NegativeRecord::AddFeature(const char* begin, const char* end, std::string_view value) {
  using namespace schema::named_feature;
  std::string_view name;
  Cursor c(value, payload_.data());
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    tag == Key(kName, Type::kBytes) ? void(name = c.Bytes()) : c.Skip(tag);
  }
  const int number = names_.Find(name);
  const uint8_t roles = number == NameTable::kAbsent ? 0 : name_roles_[static_cast<size_t>(number)];
  if (roles == 0 && !pieces_.empty() && pieces_.back().kind == Kind::kFeature && pieces_.back().roles == 0) {
    pieces_.back().end = end;
    return;
  }
  const int place = static_cast<int>(pieces_.size());
  if (roles & kReservedLineId) reserved_[0] = place;
  if (roles & kReservedLabel) reserved_[1] = place;
  if (roles & kReservedWeight) reserved_weight_ = true;
  pieces_.push_back({Kind::kFeature, roles, number, begin, end, value});
}

// As RecordView and training read them.
void NegativeRecord::ApplyReserved() {
  const char* const origin = payload_.data();
  const auto value_of = [&](int place) {
    FeatureValue value;
    ForEachBytesOf(pieces_[static_cast<size_t>(place)].value, schema::named_feature::kFeature, origin,
                   [&](std::string_view feature) { value.Merge(feature, origin, &storage_); });
    return value;
  };
  if (reserved_[0] >= 0) {
    const FeatureValue value = value_of(reserved_[0]);
    std::string_view first;
    if (value.number == schema::feature::kBytesList)
      ForEachBytesOf(value.bytes, schema::kListValue, origin,
                     [&](std::string_view bytes) { if (!first.data()) first = bytes; });
    if (!first.data()) throw BadRecord("feature __LINE_ID__ has no bytes");
    line_id_.Reset();
    line_id_.Merge(first, origin);
    reserved_line_id_ = first;
  }
  if (reserved_[1] >= 0) {
    const FeatureValue value = value_of(reserved_[1]);
    std::string& labels = storage_.emplace_back();
    if (value.number == schema::feature::kFloatList)
      ForEachFixedRun<4>(value.bytes, schema::kListValue, origin, [&](std::string_view run) { labels.append(run); });
    labels_ = 0;
    label_ = nullptr;
    reserved_labels_ = labels;
    AddLabels(reserved_labels_);
  }
}

float NegativeRecord::label() const { return LoadLe<float>(label_); }

void NegativeRecord::Split() {
  channel_ = kDefaultChannel;
  item_id_ = line_id_.Uint(item_id_place_);
  config_.type == RecordType::kInstance ? SplitInstance() : SplitExample();
}

void NegativeRecord::SplitInstance() {
  size_t most = 0;
  for (const Piece& piece : pieces_)
    if (piece.kind == Kind::kFid) most += piece.value.size();
  user_.resize(most);
  item_fids_.resize(most);
  char* user = user_.data();
  char* item = item_fids_.data();
  for (const Piece& piece : pieces_) {
    if (piece.kind != Kind::kFid) continue;
    for (size_t i = 0; i < piece.value.size(); i += 8) {
      const uint64_t fid = LoadLe<uint64_t>(piece.value.data() + i);
      const uint8_t roles = slot_roles_[fid >> 54];
      char*& to = roles & kItem ? item : user;
      StoreLe<uint64_t>(to, fid);
      to += 8;
      if (roles & kChannel) channel_ = fid;
      if (roles & kIndex) item_id_ = fid;
    }
  }
  user_.resize(static_cast<size_t>(user - user_.data()));
  item_fids_.resize(static_cast<size_t>(item - item_fids_.data()));
}

void NegativeRecord::SplitExample() {
  item_columns_.clear();
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    if (piece.kind != Kind::kFeature || piece.roles == 0) continue;
    last_of_name_[static_cast<size_t>(piece.name)] = i;
    uint64_t fid;
    if (piece.roles & (kChannel | kIndex) && FirstFid(piece.value, &fid)) {
      if (piece.roles & kChannel) channel_ = fid;
      if (piece.roles & kIndex) item_id_ = fid;
    }
  }
  wire::Writer w(&item_columns_);
  for (size_t i = 0; i < pieces_.size(); ++i)
    if (pieces_[i].kind == Kind::kFeature && pieces_[i].roles & kItem && last_of_name_[static_cast<size_t>(pieces_[i].name)] == i)
      w.Bytes(schema::example::kNamedFeature, pieces_[i].value);
}

bool NegativeRecord::FirstFid(std::string_view named_feature, uint64_t* fid) {
  const char* const origin = payload_.data();
  FeatureValue value;
  ForEachBytesOf(named_feature, schema::named_feature::kFeature, origin,
                 [&](std::string_view feature) { value.Merge(feature, origin, &storage_); });
  if (value.number != schema::feature::kFidV1List && value.number != schema::feature::kFidV2List) return false;
  bool found = false;
  ForEachFixedRun<8>(value.bytes, schema::kListValue, origin, [&](std::string_view run) {
    if (!found && !run.empty()) *fid = LoadLe<uint64_t>(run.data()), found = true;
  });
  return found;
}

std::string_view NegativeRecord::WithWeight(float weight) {
  char bits[4];
  StoreLe<float>(bits, weight);
  if (weights_ == 1 && !reserved_weight_) {
    for (const Piece& piece : pieces_) {
      if (piece.kind != Kind::kWeight) continue;
      if (piece.value == std::string_view(bits, 4)) return {};
      out_.assign(payload_);
      out_.replace(static_cast<size_t>(piece.value.data() - payload_.data()), 4, bits, 4);
      return out_;
    }
  }
  out_.clear();
  wire::Writer w(&out_);
  bool written = false;
  for (const Piece& piece : pieces_) {
    if (piece.kind == Kind::kWeight || (weights_ == 0 && piece.begin == weight_place_)) {
      if (!written) w.Float(weight_number_, weight);
      written = true;
    }
    if (piece.kind != Kind::kWeight && !(piece.roles & kReservedWeight)) AppendTo(&out_, piece.begin, piece.end);
  }
  if (!written) w.Float(weight_number_, weight);
  return out_;
}

}  // namespace monolith
