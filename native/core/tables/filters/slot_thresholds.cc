#include "core/tables/filters/slot_thresholds.h"

#include <algorithm>
#include <string>

#include "core/base/error.h"
#include "core/wire/wire.h"

namespace monolith {

using wire::Field;
using wire::Reader;
using wire::Type;

SlotThresholds SlotThresholds::Decode(std::string_view serialized) {
  SlotThresholds made;
  std::vector<std::pair<uint32_t, uint32_t>> overrides;
  try {
    Field f;
    for (Reader r(serialized); r.Next(&f);) {
      if (f.number == 2 && f.type == Type::kVarint) made.default_ = static_cast<uint32_t>(f.scalar);
      if (f.number != 1) continue;
      if (f.type != Type::kBytes) throw BadRecord("field 1 has the wrong wire type");
      std::pair<uint32_t, uint32_t> slot{0, 0};
      Field g;
      for (Reader inner(f.bytes); inner.Next(&g);) {
        if (g.type != Type::kVarint) continue;
        if (g.number == 1) slot.first = static_cast<uint32_t>(g.scalar);
        if (g.number == 2) slot.second = static_cast<uint32_t>(g.scalar);
      }
      overrides.push_back(slot);
    }
  } catch (const BadRecord& e) {
    throw Error(ErrorCode::kConfig, std::string("config of an occurrence filter: it is no SlotOccurrenceThresholdConfig: ") + e.what());
  }
  for (const auto& [slot, threshold] : overrides) made.Set(slot, threshold);
  return made;
}

void SlotThresholds::Set(uint32_t slot, uint32_t threshold) {
  if (slot >= kSlots)
    throw Error(ErrorCode::kConfig, "config of an occurrence filter: slot " + std::to_string(slot) + " is above " + std::to_string(kSlots - 1));
  if (by_slot_.empty()) by_slot_.assign(kSlots, default_);
  by_slot_[slot] = threshold;
}

uint32_t SlotThresholds::Largest() const {
  return by_slot_.empty() ? default_ : *std::max_element(by_slot_.begin(), by_slot_.end());
}

}  // namespace monolith
