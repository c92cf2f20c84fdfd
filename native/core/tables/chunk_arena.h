// Memory of embedding tables in chunks of one size, on huge pages, named by 32-bit numbers: what one table gives back another
// takes, and nothing is rounded up to a huge page of its own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace monolith {

inline constexpr size_t kChunkBytes = size_t{64} << 10;

class ChunkArena {
 public:
  // `run` chunks that lie one behind the other; a power of two. What they hold is not defined. Throws Error(kUnavailable) when
  // there is no memory left. Thread-safe.
  static uint32_t Allocate(uint32_t run = 1);
  // One chunk of zeros.
  static uint32_t AllocateZeroed();
  static void Free(uint32_t chunk, uint32_t run = 1);

  static char* At(uint32_t chunk) { return base_ + size_t{chunk} * kChunkBytes; }

 private:
  static uint32_t Take(uint32_t run, bool* zeros);
  static char* base_;
};

}  // namespace monolith
