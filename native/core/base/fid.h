// Feature ids: 64 bits, slot above signature. v1 has 10 slot bits and 54 of signature; v2 keeps bit 63 clear, then 15
// slot bits and 48 of signature. All arithmetic is unsigned.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace monolith::fid {

inline constexpr int kSignatureBitsV1 = 54, kSignatureBitsV2 = 48;
inline constexpr uint64_t kSignatureMaskV1 = (uint64_t{1} << kSignatureBitsV1) - 1;
inline constexpr uint64_t kSignatureMaskV2 = (uint64_t{1} << kSignatureBitsV2) - 1;
inline constexpr uint64_t kSlotsV1 = 1024, kSlotsV2 = 32768;

inline constexpr uint64_t SlotV1(uint64_t f) { return f >> kSignatureBitsV1; }
inline constexpr uint64_t SlotV2(uint64_t f) { return (f >> kSignatureBitsV2) & (kSlotsV2 - 1); }
inline constexpr uint64_t SignatureV1(uint64_t f) { return f & kSignatureMaskV1; }
inline constexpr uint64_t SignatureV2(uint64_t f) { return f & kSignatureMaskV2; }

// Plain shift and or: a slot out of range runs over, as it always did in data that exists.
inline constexpr uint64_t MakeV1(uint64_t slot, uint64_t signature) {
  return slot << kSignatureBitsV1 | (signature & kSignatureMaskV1);
}
inline constexpr uint64_t MakeV2(uint64_t slot, uint64_t signature) {
  return slot << kSignatureBitsV2 | (signature & kSignatureMaskV2);
}
// Loses the signature bits 53..48.
inline constexpr uint64_t V1ToV2(uint64_t f) { return MakeV2(SlotV1(f), f); }
inline constexpr uint64_t V1ToV2(uint64_t slot, uint64_t f) { return MakeV2(slot, f); }
inline constexpr uint64_t SwitchSlotV1(uint64_t f, uint64_t slot) { return MakeV1(slot, f); }
inline constexpr uint64_t SwitchSlotV2(uint64_t f, uint64_t slot) { return MakeV2(slot, f); }

// These check the slot and throw Error(kUsage) naming the limit; a signature that is too long is masked.
uint64_t CheckedV1(uint64_t slot, uint64_t signature);
uint64_t CheckedV2(uint64_t slot, uint64_t signature);
uint64_t CheckedV2(uint64_t f);  // bit 63 must be clear

// "<value>(v1|slot=<s>|sig=<x>)", all decimal.
std::string DebugText(uint64_t f, int version);

// The fid of an integer under a slot: CityHash64 of its eight bytes. With `exact` the hash keeps 48 bits; otherwise 49,
// so that about half the values of an even slot land in the next one, as in data made by ExtractFid so far.
uint64_t Extract(uint64_t slot, int64_t value, bool exact = false);

// Names of slots: `slot_<n>`, or `fc_slot_<n>` where `tob` is set.
std::string SlotName(uint64_t slot, bool tob = false);

// The v1 slot whose fids go by this name in an Instance, `slot_<n>` or `fc_slot_<n>`; -1 for any other name.
int NamedSlotV1(std::string_view name);

// Slot numbers by feature name: first what was registered; then the digits behind `slot_` or `fc_slot_`; every other
// name is numbered in order of first use, from 1, so the same names in the same order give the same numbers.
class SlotNames {
 public:
  static constexpr int64_t kNone = -1;
  void Register(const std::string& name, int64_t slot) { registered_[name] = slot; }
  int64_t Slot(std::string_view name);

 private:
  std::map<std::string, int64_t, std::less<>> registered_;
  std::map<std::string, int64_t, std::less<>> numbered_;
};

}  // namespace monolith::fid
