// Rows as columns laid out as Apache Arrow has them, there and back: what Parquet files are made from.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tables/entry_dump.h"
#include "core/tables/json_rows.h"

namespace monolith {

// The optimizer state is flat: `names` are the segments', `state` the floats of all state fields one after the other, `sizes` how
// many each of these fields has, `steps` the fields that are integers.
class EntryColumns {
 public:
  struct List {
    std::vector<int32_t> offsets{0};
    std::string values;
  };

  void Append(const std::string& table_name, const DumpedEntry& entry);
  void Clear() { *this = EntryColumns(); }

  size_t rows = 0;
  List table, names_text, weights, state, sizes, steps;  // names_text: the offsets of each name
  std::vector<int32_t> names{0};                         // which of them are whose
  std::vector<uint64_t> fid;
  std::vector<int64_t> last_update;
  std::vector<int32_t> slot;

  size_t bytes() const { return weights.values.size() + state.values.size() + names_text.values.size() + 64 * rows; }
};

// The same as somebody else's memory. What is null was not there; offsets count elements.
struct EntryColumnsView {
  struct List {
    const int32_t* offsets = nullptr;
    const char* values = nullptr;
    size_t count = 0;  // of values
  };
  size_t rows = 0;
  List table, weights, names, names_text, state, sizes, steps;
  const uint64_t* fid = nullptr;
  const int64_t* slot = nullptr;
  const int64_t* last_update = nullptr;
  bool optimizer = false;  // names to steps are there

  // Fills *table and *entry with row i. Throws BadRecord.
  RowFields Row(size_t i, std::string_view* table_name, DumpedEntry* entry) const;

 private:
  void Segments(size_t i, DumpedEntry* entry) const;
};

}  // namespace monolith
