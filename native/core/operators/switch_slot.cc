#include "core/operators/switch_slot.h"

#include "core/base/bytes.h"
#include "core/base/fid.h"
#include "core/operators/fid_scan.h"
#include "core/records/feature_value.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;

uint64_t Switched(uint64_t f, uint32_t slot, bool v1) { return v1 ? fid::SwitchSlotV1(f, slot) : fid::SwitchSlotV2(f, slot); }

void AppendSwitched(std::string_view fids, uint32_t slot, bool v1, std::string* out) {
  for (size_t i = 0; i < fids.size(); i += 8) {
    const uint64_t f = Switched(LoadLe<uint64_t>(fids.data() + i), slot, v1);
    out->append(reinterpret_cast<const char*>(&f), 8);
  }
}

}  // namespace

SwitchSlot::SwitchSlot(SwitchSlotConfig config) : config_(std::move(config)), scan_(config_.type) {
  for (const SwitchSlotConfig::Rule& rule : config_.rules) {
    fid::CheckedV2(rule.slot, 0);
    const int slot = config_.type == RecordType::kInstance ? fid::NamedSlotV1(rule.name) : -1;
    if (slot >= 0) fid::CheckedV1(rule.slot, 0);
    Target* target;
    if (slot >= 0) {
      target = &flat_[slot];
      if (target->in_place == kNone && target->copy == kNone) flat_slots_.push_back(static_cast<uint32_t>(slot));
      scan_.WantFids();
    } else {
      const size_t number = static_cast<size_t>(scan_.Want(rule.name));
      if (number == targets_.size()) targets_.emplace_back();
      target = &targets_[number];
    }
    int32_t& place = rule.in_place ? target->in_place : target->copy;
    if (place != kNone) throw Error(ErrorCode::kUsage, "feature '" + rule.name + "' is given two slots");
    place = static_cast<int32_t>(rule.slot);
    if (rule.in_place) continue;
    target->copy_name = rule.name + "_" + config_.suffix;
    if (slot < 0) CheckNewName(config_.type, target->copy_name);
  }
}

void SwitchSlot::CheckV1(uint32_t slot) const {
  if (slot >= fid::kSlotsV1)
    throw BadRecord("a list of v1 fids cannot get slot " + std::to_string(slot) + ": v1 has slots up to 1023");
}

void SwitchSlot::CollectLists(std::string_view feature, const Target& target) {
  Cursor c(feature, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    const bool v1 = tag == Key(schema::feature::kFidV1List, Type::kBytes);
    if (!v1 && tag != Key(schema::feature::kFidV2List, Type::kBytes)) {
      c.Skip(tag);
      continue;
    }
    const uint32_t slot = static_cast<uint32_t>(target.in_place);
    ForEachFixedRun<8>(c.Bytes(), schema::kListValue, origin_, [&](std::string_view fids) {
      if (v1 && !fids.empty()) CheckV1(slot);
      runs_.push_back({fids, slot, v1});
    });
  }
}

void SwitchSlot::CollectFlat(std::string_view fids) {
  const size_t n = fids.size() / 8;
  bool any = false;
  for (uint32_t slot : flat_slots_) any = any || ScanForSlotV1(fids.data(), n, slot);
  if (!any) return;
  for (size_t i = 0; i < fids.size(); i += 8) {
    const uint64_t f = LoadLe<uint64_t>(fids.data() + i);
    const Target& target = flat_[fid::SlotV1(f)];
    if (target.in_place != kNone) runs_.push_back({fids.substr(i, 8), static_cast<uint32_t>(target.in_place), true});
    if (target.copy != kNone) flat_copies_.push_back(fid::SwitchSlotV1(f, static_cast<uint32_t>(target.copy)));
  }
}

void SwitchSlot::Collect(const FeatureScan::Found& found) {
  if (found.kind == FeatureScan::Kind::kFids) return CollectFlat(found.content);
  const Target& target = targets_[static_cast<size_t>(found.name)];
  if (target.in_place == kNone) return;
  if (config_.type == RecordType::kInstance) {
    ForEachFixedRun<8>(found.content, schema::column::kFid, origin_, [&](std::string_view fids) {
      runs_.push_back({fids, static_cast<uint32_t>(target.in_place), false});
    });
  } else {
    ForEachBytesOf(found.content, schema::named_feature::kFeature, origin_,
                   [&](std::string_view feature) { CollectLists(feature, target); });
  }
}

// Appends the feature with its fids under the slot; nothing and false when it holds no fid list.
bool SwitchSlot::CopyFeature(std::string_view feature, uint32_t slot, std::string* out) {
  // The member that counts is the last; earlier occurrences of the same one merge into it.
  uint32_t member = 0;
  const size_t begin = out->size();
  Cursor c(feature, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    const uint32_t number = tag >> 3;
    if (number == 0 || number > schema::feature::kFidV1Lists || tag != FeatureTag(number)) {
      c.Skip(tag);
      continue;
    }
    if (number != member) out->resize(begin), member = number;
    if (number > schema::feature::kFidV2List) {
      c.Skip(tag);
      continue;
    }
    const bool v1 = number == schema::feature::kFidV1List;
    ForEachFixedRun<8>(c.Bytes(), schema::kListValue, origin_, [&](std::string_view fids) {
      if (v1 && !fids.empty()) CheckV1(slot);
      AppendSwitched(fids, slot, v1, out);
    });
  }
  if (member != schema::feature::kFidV1List && member != schema::feature::kFidV2List) return false;
  // The elements are there; the tags and lengths go before them.
  const size_t n = out->size() - begin;
  std::string head;
  wire::Writer w(&head);
  w.Tag(member, Type::kBytes);
  w.RawVarint(n ? BytesFieldLength(schema::kListValue, n) : 0);
  if (n) w.Tag(schema::kListValue, Type::kBytes), w.RawVarint(n);
  out->insert(begin, head);
  return true;
}

void SwitchSlot::AppendExampleCopy(std::string_view named, const Target& target, std::string* out) {
  namespace nf = schema::named_feature;
  uint64_t id = 0, sorted_id = 0;
  merged_.clear();  // occurrences merge by being put together
  Cursor c(named, origin_);
  while (!c.done()) {
    switch (const uint32_t tag = c.Tag()) {
      case Key(nf::kFeature, Type::kBytes): merged_.append(c.Bytes()); break;
      case Key(nf::kId, Type::kVarint): id = c.Varint(); break;
      case Key(nf::kSortedId, Type::kVarint): sorted_id = c.Varint(); break;
      default: c.Skip(tag);
    }
  }
  part_.clear();
  copy_.clear();
  wire::Writer w(&part_);
  w.Bytes(nf::kName, target.copy_name);
  if (CopyFeature(merged_, static_cast<uint32_t>(target.copy), &copy_)) w.Bytes(nf::kFeature, copy_);
  if (id) w.Varint(nf::kId, id);
  if (sorted_id) w.Varint(nf::kSortedId, sorted_id);
  wire::Writer(out).Bytes(schema::example::kNamedFeature, part_);
}

void SwitchSlot::AppendBatchCopy(std::string_view column, const Target& target, std::string* out) {
  namespace nfl = schema::named_feature_list;
  uint64_t id = 0, type = 0;
  part_.clear();
  wire::Writer w(&part_);
  w.Bytes(nfl::kName, target.copy_name);
  Cursor c(column, origin_);
  while (!c.done()) {
    switch (const uint32_t tag = c.Tag()) {
      case Key(nfl::kFeature, Type::kBytes):
        copy_.clear();
        CopyFeature(c.Bytes(), static_cast<uint32_t>(target.copy), &copy_);
        w.Bytes(nfl::kFeature, copy_);
        break;
      case Key(nfl::kType, Type::kVarint): type = c.Varint(); break;
      case Key(nfl::kId, Type::kVarint): id = c.Varint(); break;
      default: c.Skip(tag);
    }
  }
  if (type) w.Varint(nfl::kType, type);
  if (id) w.Varint(nfl::kId, id);
  wire::Writer(out).Bytes(schema::example_batch::kNamedFeatureList, part_);
}

void SwitchSlot::AppendColumnCopy(std::string_view column, const Target& target, std::string* out) {
  part_.clear();
  ForEachFixedRun<8>(column, schema::column::kFid, origin_, [&](std::string_view fids) {
    AppendSwitched(fids, static_cast<uint32_t>(target.copy), false, &part_);
  });
  AppendFeature(config_.type, target.copy_name, NewFeature::kFids, part_, out);
}

void SwitchSlot::AppendCopies(std::string_view content, const Target& target, std::string* out) {
  switch (config_.type) {
    case RecordType::kInstance: return AppendColumnCopy(content, target, out);
    case RecordType::kExample: return AppendExampleCopy(content, target, out);
    case RecordType::kExampleBatch: return AppendBatchCopy(content, target, out);
  }
}

void SwitchSlot::Process(const Record& record, RecordSink* next) {
  origin_ = record.payload.data();
  runs_.clear();
  flat_copies_.clear();
  bool copies = false;
  const std::vector<FeatureScan::Found>& found = scan_.Load(record.payload);
  for (const FeatureScan::Found& f : found) {
    Collect(f);
    if (f.kind == FeatureScan::Kind::kNamed && targets_[static_cast<size_t>(f.name)].copy != kNone) copies = true;
  }
  if (runs_.empty() && flat_copies_.empty() && !copies) return next->Write(record);

  out_.assign(record.payload);
  for (const Run& run : runs_) {
    char* to = out_.data() + (run.fids.data() - origin_);
    for (size_t i = 0; i < run.fids.size(); i += 8) StoreLe(to + i, Switched(LoadLe<uint64_t>(to + i), run.slot, run.v1));
  }
  if (copies) {
    for (const FeatureScan::Found& f : found) {
      if (f.kind != FeatureScan::Kind::kNamed) continue;
      const Target& target = targets_[static_cast<size_t>(f.name)];
      if (target.copy != kNone) AppendCopies(f.content, target, &out_);
    }
  }
  wire::Writer(&out_).Packed(schema::instance::kFid, flat_copies_.data(), flat_copies_.size());
  Record made = record;
  made.payload = out_;
  made.framed = false;
  next->Write(made);
}

}  // namespace monolith
