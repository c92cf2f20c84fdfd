// Names → numbers, made once; looking one up compares one hash and one name and allocates nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace monolith {

class NameTable {
 public:
  static constexpr int kAbsent = -1;

  // Returns the number of the name: a new one counts up from 0.
  int Add(std::string_view name) {
    const int known = Find(name);
    if (known != kAbsent) return known;
    names_.emplace_back(name);
    size_t capacity = 8;
    while (capacity < names_.size() * 4) capacity *= 2;
    table_.assign(capacity, {0, 0});
    mask_ = capacity - 1;
    for (size_t i = 0; i < names_.size(); ++i) {
      const uint64_t h = Hash(names_[i]);
      size_t at = h & mask_;
      while (table_[at].number) at = (at + 1) & mask_;
      table_[at] = {static_cast<uint32_t>(h >> 32), static_cast<uint32_t>(i + 1)};
    }
    return static_cast<int>(names_.size() - 1);
  }

  int Find(std::string_view name) const {
    if (table_.empty()) return kAbsent;
    const uint64_t h = Hash(name);
    for (size_t at = h & mask_;; at = (at + 1) & mask_) {
      const Entry& entry = table_[at];
      if (entry.number == 0) return kAbsent;
      if (entry.tag == static_cast<uint32_t>(h >> 32) && names_[entry.number - 1] == name)
        return static_cast<int>(entry.number - 1);
    }
  }

  size_t size() const { return names_.size(); }
  const std::string& name(int number) const { return names_[number]; }

 private:
  struct Entry {
    uint32_t tag;
    uint32_t number;  // plus one, 0 for empty
  };

  // Mixes the length and the bytes, eight at a time; the last eight may overlap those before.
  static uint64_t Hash(std::string_view s) {
    const char* p = s.data();
    const size_t n = s.size();
    uint64_t h = n * 0x9e3779b97f4a7c15u;
    if (n >= 8) {
      for (size_t i = 0; i + 8 < n; i += 8) h = Mix(h ^ LoadLe<uint64_t>(p + i));
      return Mix(h ^ LoadLe<uint64_t>(p + n - 8));
    }
    if (n >= 4) return Mix(h ^ (uint64_t{LoadLe<uint32_t>(p)} << 32 | LoadLe<uint32_t>(p + n - 4)));
    if (n > 0)
      return Mix(h ^ (uint64_t{static_cast<uint8_t>(p[0])} << 16 | uint64_t{static_cast<uint8_t>(p[n / 2])} << 8 |
                      static_cast<uint8_t>(p[n - 1])));
    return Mix(h);
  }
  static uint64_t Mix(uint64_t v) {
    v *= 0xff51afd7ed558ccdu;
    return v ^ (v >> 29);
  }

  std::vector<std::string> names_;
  std::vector<Entry> table_;
  size_t mask_ = 0;
};

}  // namespace monolith
