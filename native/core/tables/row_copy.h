// A row with its timestamp, read while others may write it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tables/pipeline.h"

namespace monolith {

// Copies both as they are at one moment; waits for nothing but a writer of this very row.
inline void CopyRow(const RowLocks& locks, const char* row, const uint32_t* row_timestamp, void* out, size_t bytes, uint32_t* timestamp) {
  const RowLock& lock = locks.Of(row);
  for (;;) {
    const uint64_t before = lock.word.load(std::memory_order_acquire);
    CopyBytes(timestamp, row_timestamp, sizeof *timestamp);
    CopyBytes(out, row, bytes);
    LoadBarrier();
    if (RowLock::Unchanged(before, lock.word.load(std::memory_order_acquire), RowLock::Name(row))) return;
    Pause();
  }
}

}  // namespace monolith
