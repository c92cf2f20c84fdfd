// A cache line of the index: seven keys and the ids of their rows.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/tables/segment_rows.h"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define MONOLITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MONOLITH_TSAN 1
#endif
#endif

namespace monolith {

// A key stands in the group that the top bits of its hash choose or, when that is full, in one of fifteen others near it: growing
// steps, so that a crowd spreads. Of the hash, which is a bijection of the key, the group keeps 52 bits: the other 12 follow from
// where the key stands and which of the steps it took, so that nothing is lost and no key is taken for another.
struct alignas(64) KeyGroup {
  static constexpr unsigned kSlots = 7;
  static constexpr unsigned kMoves = 16;
  static constexpr uint32_t kSteps[kMoves] = {0, 1, 3, 7, 13, 21, 31, 43, 57, 73, 91, 111, 133, 157, 183, 211};
  static constexpr int kImpliedBits = 12;
  static constexpr uint8_t kAllUsed = 0x7f;
  static constexpr uint8_t kOverflow = 0x80;  // a key whose own group this is, or passed it by, stands elsewhere

  uint32_t low[kSlots];   // bits 0..31 of the hash
  uint16_t mid[kSlots];   // bits 32..47
  std::atomic<uint16_t> row[kSlots];  // kNoRow: the key has left
  uint8_t high[kSlots];   // bits 48..51, and above them which step the key was moved
  // Which slots are in use, and kOverflow. A slot is written once, before meta names it; its row alone may change, to kNoRow.
  std::atomic<uint8_t> meta;

  // The slot of a key that took this step; -1 when it is not here. `m`: what meta was.
  int Find(uint64_t hash, unsigned moved, uint8_t m) const {
    for (unsigned hits = MatchLow(static_cast<uint32_t>(hash), m & kAllUsed); hits; hits &= hits - 1) {
      const int slot = __builtin_ctz(hits);
      if (mid[slot] == static_cast<uint16_t>(hash >> 32) && high[slot] == High(hash, moved) && Row(slot) != kNoRow) return slot;
    }
    return -1;
  }
  // The row of the first slot that looks like a key that was not moved, without a branch; *found: whether it is that key.
  RowId FirstRow(uint64_t hash, uint8_t m, bool* found) const {
    const unsigned hits = MatchLow(static_cast<uint32_t>(hash), m & kAllUsed);
#ifdef MONOLITH_TSAN
    *found = false;
    if (!hits) return 0;
#endif
    const int slot = __builtin_ctz(hits | 1u << (kSlots - 1));
    const RowId id = Row(slot);
    *found = (hits != 0) & (mid[slot] == static_cast<uint16_t>(hash >> 32)) & (high[slot] == High(hash, 0)) & (id != kNoRow);
    return id;
  }
  RowId Row(int slot) const { return row[slot].load(std::memory_order_relaxed); }
  // Fills a slot that meta does not name yet.
  void Set(int slot, uint64_t hash, unsigned moved, RowId id) {
    low[slot] = static_cast<uint32_t>(hash);
    mid[slot] = static_cast<uint16_t>(hash >> 32);
    row[slot].store(static_cast<uint16_t>(id), std::memory_order_relaxed);
    high[slot] = High(hash, moved);
  }
  unsigned Moved(int slot) const { return high[slot] >> 4; }
  // The 52 bits that are kept.
  uint64_t KeptBits(int slot) const {
    return uint64_t{high[slot] & 15u} << 48 | uint64_t{mid[slot]} << 32 | low[slot];
  }

#if defined(__AVX2__) && !defined(MONOLITH_TSAN)
  unsigned MatchLow(uint32_t bits, unsigned used) const {
    const __m256i equal = _mm256_cmpeq_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(low)),
                                             _mm256_set1_epi32(static_cast<int>(bits)));
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(equal))) & used;
  }
#else
  unsigned MatchLow(uint32_t bits, unsigned used) const {
    unsigned hits = 0;
    for (; used; used &= used - 1) hits |= unsigned{low[__builtin_ctz(used)] == bits} << __builtin_ctz(used);
    return hits;
  }
#endif

 private:
  static uint8_t High(uint64_t hash, unsigned moved) { return static_cast<uint8_t>(moved << 4 | (hash >> 48 & 15)); }
};
static_assert(sizeof(KeyGroup) == 64);

}  // namespace monolith
