// What a restore may do beside taking rows as they are, and what it did.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace monolith {

struct RestoreOptions {
  // A row whose shape is not that of its table is an error but for what is allowed here. Segments are compared in order.
  bool pad = false;          // fewer weights or segments than the table has: the rest starts from the initializer
  bool truncate = false;     // more: the rest is left out
  bool reset_state = false;  // another optimizer: its state starts afresh
  // Tables of the checkpoint that are not here are passed over and reported, or an error.
  bool refuse_unknown_tables = false;
  // Where a table is not in the checkpoint: names it may have there instead, tried in order.
  std::map<std::string, std::vector<std::string>> old_names;
  // Of all keys those with floormod(key, parts) == part alone, as when servers share them.
  uint64_t part = 0, parts = 1;

  bool adapts() const { return pad || truncate || reset_state; }
};

// Of names as users write them: pad, truncate, reset-state, known-tables. Throws Error(kUsage).
RestoreOptions RestoreModes(const std::vector<std::string>& names);

struct RestoreReport {
  uint64_t rows = 0;           // put into tables
  uint64_t adapted_rows = 0;   // of those, the ones of another shape
  uint64_t other_parts = 0;    // left out: keys of another part
  std::vector<std::string> unknown_tables;  // of the checkpoint, passed over
  std::vector<std::string> missing_tables;  // not in the checkpoint, left empty
};

}  // namespace monolith
