// The cells of a counting filter: 16 bits each, the high 12 a signature, the low 4 a count; 0 is empty (spec 30, 8.2).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

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

constexpr uint32_t kMaxOccurrences = 15;  // what a cell can count to

class CountingCells {
 public:
  static constexpr size_t kTail = 64;  // cells behind the last position, so that a search need not wrap
  static constexpr uint64_t kMaxTotal = uint64_t{1} << 40;

  // Positions 0..total_size-1, all empty; total_size is 1..kMaxTotal. Throws Error(kConfig) when there is no memory for them.
  explicit CountingCells(uint64_t total_size);
  ~CountingCells();
  CountingCells(CountingCells&& other) noexcept;
  CountingCells& operator=(CountingCells&& other) noexcept;

  uint64_t total_size() const { return total_size_; }
  size_t size() const { return total_size_ + kTail; }
  uint16_t Load(size_t i) const { return __atomic_load_n(cells_ + i, __ATOMIC_RELAXED); }
  void Store(size_t i, uint16_t v) { __atomic_store_n(cells_ + i, v, __ATOMIC_RELAXED); }
  // The same without synchronization, for who is alone with the cells.
  const uint16_t* data() const { return cells_; }

  void Prefetch(uint64_t hash) const { __builtin_prefetch(cells_ + hash % total_size_, 1); }

  // The first cell from the position of `hash` on that is empty or has the signature, and what was in it; cell is nullptr
  // when none of the first max_step has, which is a multiple of 16 and at most kTail. Cells are never emptied but by Clear, so a full one stays what it is but for its count.
  struct Found {
    uint16_t* cell;
    uint16_t seen;
  };
  Found Find(uint64_t hash, uint16_t signature, unsigned max_step) const;

  // Adds to the count of a cell of a signature; returns the count before. `seen` is what was last read from it.
  static uint32_t AddTo(uint16_t* cell, uint16_t seen, uint32_t count);
  // Takes an empty cell; false when another thread was faster.
  static bool Take(uint16_t* cell, uint16_t signature, uint32_t count);

  // Empties all cells and gives their memory back. Nobody else may be using them.
  void Clear();

 private:
  void Free();
  uint64_t total_size_;
  uint16_t* cells_;
};

// The first of max_step cells that is empty or has the signature, by what they hold at this moment; max_step when there is none.
inline unsigned FindCell(const uint16_t* cells, uint16_t signature, unsigned max_step) {
#if defined(__AVX2__) && !defined(MONOLITH_TSAN)
  const __m256i signatures = _mm256_set1_epi16(static_cast<short>(~kMaxOccurrences));
  const __m256i wanted = _mm256_set1_epi16(static_cast<short>(signature << 4));
  for (unsigned i = 0; i < max_step; i += 16) {
    // Read once, and anew each time: a compiler may read plain memory twice, and a cell that is taken between the two readings would
    // look neither empty nor matching.
    __m256i seen;
    asm volatile("vmovdqu %1, %0" : "=x"(seen) : "m"(*reinterpret_cast<const uint16_t(*)[16]>(cells + i)));
    const __m256i hits = _mm256_or_si256(_mm256_cmpeq_epi16(seen, _mm256_setzero_si256()),
                                         _mm256_cmpeq_epi16(_mm256_and_si256(seen, signatures), wanted));
    if (const unsigned mask = static_cast<unsigned>(_mm256_movemask_epi8(hits))) return i + static_cast<unsigned>(__builtin_ctz(mask)) / 2;
  }
  return max_step;
#else
  for (unsigned i = 0; i < max_step; ++i) {
    const uint16_t seen = __atomic_load_n(cells + i, __ATOMIC_RELAXED);
    if (seen == 0 || seen >> 4 == signature) return i;
  }
  return max_step;
#endif
}

inline CountingCells::Found CountingCells::Find(uint64_t hash, uint16_t signature, unsigned max_step) const {
  uint16_t* cells = cells_ + hash % total_size_;
  for (;;) {
    const unsigned i = FindCell(cells, signature, max_step);
    if (i == max_step) return {nullptr, 0};
    const uint16_t seen = __atomic_load_n(cells + i, __ATOMIC_RELAXED);
    if (seen == 0 || seen >> 4 == signature) return {cells + i, seen};  // else another thread has just taken it
  }
}

inline uint32_t CountingCells::AddTo(uint16_t* cell, uint16_t seen, uint32_t count) {
  for (;;) {
    const uint32_t old = seen & kMaxOccurrences;
    const uint32_t sum = old + count < kMaxOccurrences ? old + count : kMaxOccurrences;
    const uint16_t next = static_cast<uint16_t>((seen & ~kMaxOccurrences) | sum);
    if (next == seen || __atomic_compare_exchange_n(cell, &seen, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return old;
  }
}

inline bool CountingCells::Take(uint16_t* cell, uint16_t signature, uint32_t count) {
  uint16_t empty = 0;
  const uint32_t value = uint32_t{signature} << 4 | (count < kMaxOccurrences ? count : kMaxOccurrences);
  return __atomic_compare_exchange_n(cell, &empty, static_cast<uint16_t>(value), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

}  // namespace monolith
