// Locks of rows, shared by many rows each.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/tables/pause.h"

namespace monolith {

// Writers of rows exclude each other and are noticed by readers through words that many rows share. They lie in the nearest
// cache, so that an update does not dirty the index. A word names the row that is being written, so that readers of other
// rows need not wait, and counts writes, so that readers notice one that came and went.
struct RowLock {
  std::atomic<uint64_t> word{0};  // count of writes << 32 | name of the row, or 0 when none is being written

  // Rows 16 GiB apart may share a name: their readers then wait for nothing, no more.
  static uint32_t Name(const char* row) { return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(row) >> 2) | 1; }
  static bool Writes(uint64_t w, uint32_t name) { return static_cast<uint32_t>(w) == name; }
  // The row was not written between two readings of the word.
  static bool Unchanged(uint64_t before, uint64_t after, uint32_t name) {
    return (before ^ after) >> 32 == 0 && !Writes(before, name) && !Writes(after, name);
  }
  // Waits for the writer of whatever row has the word; returns what Unlock takes.
  uint64_t Lock(uint32_t name) {
    for (unsigned spins = 0;; ++spins) {
      uint64_t w = word.load(std::memory_order_relaxed);
      if (static_cast<uint32_t>(w) == 0 &&
          word.compare_exchange_weak(w, w | name, std::memory_order_acquire, std::memory_order_relaxed))
        return w;
      spins < 64 ? Pause() : YieldCpu();
    }
  }
  void Unlock(uint64_t held) { word.store(held + (uint64_t{1} << 32), std::memory_order_release); }
};

class RowLocks {
 public:
  static constexpr size_t kLocks = 512;
  RowLock& Of(const char* row) const { return locks_[(reinterpret_cast<uintptr_t>(row) >> 6) % kLocks]; }

 private:
  mutable RowLock locks_[kLocks];
};

}  // namespace monolith
