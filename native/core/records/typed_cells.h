// Rows whose cells need no splitting: what a columnar file gives. A row is, for each column, the number of its values
// and then each with its length before it (u32 little-endian).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace monolith {

class TypedRow {
 public:
  // Takes a row apart; its views point into it.
  void Read(std::string_view row) {
    values_.clear();
    ends_.clear();
    const char* p = row.data();
    for (const char* const end = p + row.size(); p < end;) {
      uint32_t count = LoadLe<uint32_t>(p);
      for (p += 4; count > 0; --count) {
        const uint32_t size = LoadLe<uint32_t>(p);
        values_.emplace_back(p + 4, size);
        p += 4 + size;
      }
      ends_.push_back(values_.size());
    }
  }
  size_t columns() const { return ends_.size(); }
  size_t size(size_t column) const { return ends_[column] - Begin(column); }
  std::string_view value(size_t column, size_t i) const { return values_[Begin(column) + i]; }

 private:
  size_t Begin(size_t column) const { return column ? ends_[column - 1] : 0; }

  std::vector<std::string_view> values_;
  std::vector<size_t> ends_;
};

}  // namespace monolith
