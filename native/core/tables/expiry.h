// How long the rows of each slot are kept (spec 30, 6.1 and 13.5).
#pragma once

#include <cstdint>
#include <vector>

#include "core/tables/table_config.h"

namespace monolith {

class Expiry {
 public:
  explicit Expiry(const TableConfig& config) : seconds_(kSlots, int64_t{config.default_expire_days} * 86400) {
    for (const auto& [slot, days] : config.slot_expire_days) seconds_[slot] = int64_t{days} * 86400;
  }
  // now: unix seconds, or the newest time a table has seen.
  bool Expired(int64_t key, uint32_t timestamp, int64_t now) const {
    return now - int64_t{timestamp} >= seconds_[static_cast<uint64_t>(key) >> 48 & (kSlots - 1)];
  }

 private:
  static constexpr size_t kSlots = size_t{1} << 15;
  std::vector<int64_t> seconds_;
};

}  // namespace monolith
