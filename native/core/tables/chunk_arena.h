// Memory of embedding tables in chunks of one size, on huge pages, named by 32-bit numbers: what one table gives back another
// takes, and nothing is rounded up to a huge page of its own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace monolith {

inline constexpr size_t kChunkBytes = size_t{64} << 10;

class ChunkArena {
 public:
  // What reaches for rows goes through an index that is a tenth as large: kept together, its addresses stay in the caches of the
  // processor's memory management.
  enum Region { kRows, kIndex };

  // `run` chunks that lie one behind the other; a power of two. What they hold is not defined. Throws Error(kUnavailable) when
  // there is no memory left. Thread-safe.
  static uint32_t Allocate(Region region, uint32_t run = 1);
  // One chunk of zeros.
  static uint32_t AllocateZeroed(Region region);
  static void Free(uint32_t chunk, uint32_t run = 1);

  // A piece of a chunk, of zeros, for what every operation of a table reads: it then lies on few pages. At most kChunkBytes;
  // aligned to 64.
  static void* AllocatePiece(size_t bytes);
  static void FreePiece(void* piece, size_t bytes);

  // The most that all tables of the process may take, 0 for no limit: what goes beyond throws Error(kUnavailable) where it would be
  // taken, and nothing is changed.
  static void SetBudget(size_t bytes);
  // What tables have taken, and what they gave back that is kept for those to come: up to 64 MiB, or 3 % of the former.
  static size_t memory_bytes();

  static char* At(uint32_t chunk) { return base_ + size_t{chunk} * kChunkBytes; }

 private:
  static uint32_t Take(Region region, uint32_t run, bool* zeros);
  static char* base_;
};

}  // namespace monolith
