#include "core/base/fid.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace monolith::fid {
namespace {

void CheckSlot(const char* version, uint64_t slot, uint64_t limit) {
  if (slot >= limit)
    throw Error(ErrorCode::kUsage, std::string(version) + " slot should be less than " + std::to_string(limit) +
                                       ", while got " + std::to_string(slot));
}

bool IsDigits(std::string_view s) {
  return !s.empty() && s.size() <= 18 && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

uint64_t CheckedV1(uint64_t slot, uint64_t signature) {
  CheckSlot("v1", slot, kSlotsV1);
  return MakeV1(slot, signature);
}

uint64_t CheckedV2(uint64_t slot, uint64_t signature) {
  CheckSlot("v2", slot, kSlotsV2);
  return MakeV2(slot, signature);
}

uint64_t CheckedV2(uint64_t f) {
  CheckSlot("v2", f >> kSignatureBitsV2, kSlotsV2);
  return f;
}

std::string DebugText(uint64_t f, int version) {
  const bool v1 = version == 1;
  // Bit 63 of a v2 fid counts here, so that a broken one shows.
  return std::to_string(f) + (v1 ? "(v1|slot=" : "(v2|slot=") + std::to_string(v1 ? SlotV1(f) : f >> kSignatureBitsV2) +
         "|sig=" + std::to_string(v1 ? SignatureV1(f) : SignatureV2(f)) + ")";
}

uint64_t Extract(uint64_t slot, int64_t value, bool exact) {
  char bytes[8];
  std::memcpy(bytes, &value, 8);
  const uint64_t mask = exact ? kSignatureMaskV2 : (uint64_t{1} << 49) - 1;
  return (CityHash64({bytes, 8}) & mask) | slot << kSignatureBitsV2;
}

std::string SlotName(uint64_t slot, bool tob) { return (tob ? "fc_slot_" : "slot_") + std::to_string(slot); }

int NamedSlotV1(std::string_view name) {
  for (std::string_view prefix : {"slot_", "fc_slot_"}) {
    if (name.substr(0, prefix.size()) != prefix) continue;
    const std::string_view digits = name.substr(prefix.size());
    if (!IsDigits(digits)) return -1;
    const uint64_t slot = std::stoull(std::string(digits));
    return slot < kSlotsV1 ? static_cast<int>(slot) : -1;
  }
  return -1;
}

int64_t SlotNames::Slot(std::string_view name) {
  if (const auto it = registered_.find(name); it != registered_.end()) return it->second;
  if (name.rfind("slot_", 0) == 0 || name.rfind("fc_slot_", 0) == 0) {
    const std::string_view digits = name.substr(name.rfind('_') + 1);
    return IsDigits(digits) ? std::stoll(std::string(digits)) : kNone;
  }
  return numbered_.try_emplace(std::string(name), static_cast<int64_t>(numbered_.size()) + 1).first->second;
}

}  // namespace monolith::fid
