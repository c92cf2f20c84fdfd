// The index of an embedding table: from key to row number, in groups of one cache line.
//
// The table is cut by the top bits of the hash into segments; inside one, the group of a key grows with its hash, so
// that a segment is rebuilt into a larger one by two sequential passes. Keys stand in the groups themselves: a lookup
// touches one line here and then the weights, and growth never touches the rows. A key whose group is full stands in
// the next one that is not.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/tables/key_hash.h"
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

// What a group's `meta` holds: slots in use, whether a key went past, who writes, and a count of writes.
struct Meta {
  static constexpr uint32_t kCount = 7;        // slots are filled in order
  static constexpr uint32_t kOverflow = 8;     // a key whose own group this is stands further on
  static constexpr uint32_t kLockShift = 4;    // 0: free, 1..5: the row of that slot - 1 is being written, 7: the group is
  static constexpr uint32_t kLock = 7u << kLockShift;
  static constexpr uint32_t kVersion = 1u << 8;  // the upper 24 bits count writes of rows

  static unsigned Used(uint32_t m) { return (1u << (m & kCount)) - 1; }
  static bool WritesSlot(uint32_t m, unsigned slot) { return (m & kLock) == (slot + 1) << kLockShift; }
  // Nothing wrote the row of `slot` between the two readings.
  static bool Unchanged(uint32_t before, uint32_t after, unsigned slot) {
    return (before ^ after) < kVersion && !WritesSlot(after, slot);
  }
};

struct alignas(64) Group {
  static constexpr unsigned kSlots = 5;

  int64_t keys[kSlots];
  uint32_t rows[kSlots];
  std::atomic<uint32_t> meta;

  // Bit i: slot i may hold the key; to be masked by the slots in use.
#if defined(__AVX2__) && !defined(MONOLITH_TSAN)
  unsigned Match(int64_t key, uint32_t m) const {
    const __m256i equal = _mm256_cmpeq_epi64(_mm256_load_si256(reinterpret_cast<const __m256i*>(keys)), _mm256_set1_epi64x(key));
    const unsigned hits = static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(equal))) | unsigned{keys[4] == key} << 4;
    return hits & Meta::Used(m);
  }
#else
  unsigned Match(int64_t key, uint32_t m) const {
    unsigned hits = 0;
    for (unsigned i = 0; i < (m & Meta::kCount); ++i) hits |= unsigned{keys[i] == key} << i;
    return hits;
  }
#endif

  // Waits until nobody writes in this group, then holds it with `lock` (a value of the lock bits). Returns meta as it was.
  uint32_t Lock(uint32_t lock);
  void Unlock(uint32_t m) { meta.store(m, std::memory_order_release); }
};
static_assert(sizeof(Group) == 64);

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
void YieldCpu();

inline uint32_t Group::Lock(uint32_t lock) {
  for (unsigned spins = 0;; ++spins) {
    uint32_t m = meta.load(std::memory_order_relaxed);
    if (!(m & Meta::kLock) &&
        meta.compare_exchange_weak(m, m | lock << Meta::kLockShift, std::memory_order_acquire, std::memory_order_relaxed))
      return m;
    if (spins < 64) Pause();
    else YieldCpu();
  }
}

// One contiguous part of the hash range with its own array of groups; replaced by a larger one when it is full.
class Segment {
 public:
  // `groups` that keys belong to; some more stand behind them for the keys that overflow at the end.
  explicit Segment(size_t groups);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  static constexpr size_t kTail = 32;
  static constexpr size_t kSmallTail = 8;
  // Above this a segment is split in two instead of growing: its rebuilding is what writers wait for.
  static constexpr size_t kMaxBytes = size_t{16} << 20;

  Group* groups() const { return groups_; }
  size_t homes() const { return homes_; }
  size_t total() const { return total_; }
  size_t bytes() const { return bytes_; }
  size_t limit() const { return limit_; }
  Group* end() const { return groups_ + total_; }

  std::atomic<size_t> count{0};

  // Inserts a key that is not there, with no other thread about. False when the end of the array is full.
  bool InsertUnshared(Group* home, int64_t key, uint32_t row);

 private:
  Group* groups_;
  size_t homes_, total_, bytes_, limit_;
};

// What threads see: immutable but for `stale` and the groups themselves.
class View {
 public:
  struct Entry {
    Group* groups;
    uint32_t homes;
    uint32_t depth;  // bits of the hash above those that choose a group
  };

  View(std::vector<std::shared_ptr<Segment>> segments, std::vector<uint8_t> depths, int depth);

  Group* Home(uint64_t hash) const {
    const Entry& e = entries_[hash >> 1 >> shift_];
    return e.groups + (((hash << e.depth >> 32) * e.homes) >> 32);
  }
  size_t EntryOf(uint64_t hash) const { return hash >> 1 >> shift_; }
  Segment* SegmentOf(uint64_t hash) const { return segments_[EntryOf(hash)].get(); }

  // One per directory entry; neighbours may be the same.
  const std::vector<std::shared_ptr<Segment>>& segments() const { return segments_; }
  int depth() const { return depth_; }
  int depth_of(size_t entry) const { return entries_[entry].depth; }

  // Set when another view has taken its place and writers may have gone on there: what was read here must be read again.
  std::atomic<bool> stale{false};

 private:
  int depth_, shift_;
  std::vector<Entry> entries_;
  std::vector<std::shared_ptr<Segment>> segments_;
};

// The view that stands in for `old` after the segment of `entry` was rebuilt with room for at least half as many keys more.
std::shared_ptr<View> GrowView(const View& old, size_t entry);
std::shared_ptr<View> NewView(uint64_t capacity);

}  // namespace monolith
