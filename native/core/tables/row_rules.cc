#include "core/tables/row_rules.h"

#include <cmath>

namespace monolith {

bool RowRules::Goes(const std::string& table_name, const DumpedEntry& entry, int64_t newest) const {
  if (!table.empty() && table != table_name) return false;
  const uint32_t slot = static_cast<uint32_t>(static_cast<uint64_t>(entry.key) >> 48 & 0x7FFF);
  if (slots.count(slot) || keys.count(entry.key)) return true;
  if (before && entry.timestamp < *before) return true;
  const auto own = slot_expire_days.find(slot);
  const std::optional<uint32_t> days = own != slot_expire_days.end() ? std::optional(own->second) : expire_days;
  if (days && newest - entry.timestamp >= int64_t{*days} * 86400) return true;
  if (!min_norm) return false;
  double square = 0;
  for (const float v : entry.weights) square += double{v} * v;
  return std::sqrt(square) < *min_norm;  // what is not a number stays
}

}  // namespace monolith
