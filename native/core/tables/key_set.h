// A set of keys that only grows: 16 to 32 bytes a key, no allocation a key.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/tables/key_hash.h"

namespace monolith {

class KeySet {
 public:
  bool Contains(int64_t key) const {
    if (key == kEmpty) return has_empty_;
    return !slots_.empty() && slots_[Slot(key)] == key;
  }
  // False when it was there.
  bool Insert(int64_t key) {
    if (key == kEmpty) {
      const bool fresh = !has_empty_;
      has_empty_ = true;
      return fresh;
    }
    if (2 * (size_ + 1) > slots_.size()) Grow();
    int64_t& slot = slots_[Slot(key)];
    if (slot == key) return false;
    slot = key;
    ++size_;
    return true;
  }
  size_t size() const { return size_ + has_empty_; }

 private:
  static constexpr int64_t kEmpty = std::numeric_limits<int64_t>::min();

  size_t Slot(int64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t i = HashKey(key) & mask;
    while (slots_[i] != kEmpty && slots_[i] != key) i = (i + 1) & mask;
    return i;
  }
  void Grow() {
    std::vector<int64_t> old(slots_.empty() ? 64 : 2 * slots_.size(), kEmpty);
    old.swap(slots_);
    for (const int64_t key : old)
      if (key != kEmpty) slots_[Slot(key)] = key;
  }

  std::vector<int64_t> slots_;
  size_t size_ = 0;
  bool has_empty_ = false;
};

}  // namespace monolith
