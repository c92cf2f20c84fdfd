// Which rows of a checkpoint are to go.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>

#include "core/tables/entry_dump.h"

namespace monolith {

// A row goes when any of these holds; none given: no row does.
struct RowRules {
  // As saving does (spec 30, 13.5): the newest update of its table is this many days or more after its own.
  std::optional<uint32_t> expire_days;
  std::map<uint32_t, uint32_t> slot_expire_days;  // goes before expire_days
  std::optional<int64_t> before;                  // last updated before these unix seconds; never counts as 0
  std::optional<double> min_norm;                 // the Euclidean norm of its weights is below
  std::set<uint32_t> slots;
  std::unordered_set<int64_t> keys;
  std::string table;  // rows of other tables stay; "": of all

  bool needs_newest() const { return expire_days || !slot_expire_days.empty(); }

  // newest: the newest update in the row's table.
  bool Goes(const std::string& table_name, const DumpedEntry& entry, int64_t newest) const;
};

}  // namespace monolith
