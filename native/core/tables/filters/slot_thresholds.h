// How many occurrences the ids of each slot need (SlotOccurrenceThresholdConfig).
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace monolith {

class SlotThresholds {
 public:
  explicit SlotThresholds(uint32_t default_threshold = 0) : default_(default_threshold) {}

  // Decodes a serialized SlotOccurrenceThresholdConfig. Throws Error(kConfig), for a slot above 32767 too.
  static SlotThresholds Decode(std::string_view serialized);

  // 0: the id needs none.
  uint32_t Of(int64_t id) const {
    return by_slot_.empty() ? default_ : by_slot_[static_cast<uint64_t>(id) >> 48 & (kSlots - 1)];
  }
  bool any() const { return Largest() > 0; }
  uint32_t Largest() const;

 private:
  static constexpr size_t kSlots = size_t{1} << 15;
  void Set(uint32_t slot, uint32_t threshold);

  uint32_t default_;
  std::vector<uint32_t> by_slot_;  // empty: the default for all
};

}  // namespace monolith
