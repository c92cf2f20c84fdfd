// How a batch of keys goes through the memory: many lines on their way at once.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/tables/table_impl.h"

namespace monolith {

// Loads stay on their side of it; the CPU does so by itself on x86.
inline void LoadBarrier() {
#if defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
}

// Bytes that a writer may be changing meanwhile; the caller finds out by the row's lock and reads again.
__attribute__((no_sanitize("thread"))) inline void CopyBytes(void* __restrict out, const void* in, size_t n) {
#ifdef MONOLITH_TSAN
  // Volatile, or it would become the call of memcpy that the sanitizer watches.
  const volatile char* from = static_cast<const volatile char*>(in);
  for (size_t i = 0; i < n; ++i) static_cast<char*>(out)[i] = from[i];
#else
  std::memcpy(out, in, n);
#endif
}

// Copies from a row; waits for nothing but a writer of this very row. kBytes = 0: any length.
template <size_t kBytes>
inline void CopyWhole(const RowLocks& locks, const char* row, void* out, size_t bytes) {
  const RowLock& lock = locks.Of(row);
  const uint32_t name = RowLock::Name(row);
  for (;;) {
    const uint64_t before = lock.word.load(std::memory_order_acquire);
    CopyBytes(out, row, kBytes ? kBytes : bytes);
    LoadBarrier();
    if (__builtin_expect(RowLock::Unchanged(before, lock.word.load(std::memory_order_acquire), name), 1)) return;
    Pause();
  }
}

// What is known of a key when its turn comes.
struct Pending {
  Segment* segment;
  char* row;  // nullptr: not found
  uint64_t hash;
  RowId id;
};

// A batch runs as one pipeline, block by block: while rows of one block are used, those of the next are fetched and the groups of the
// one after it, so that as many lines are on their way as a core can have. No step but the last waits for memory, or guesses by what
// is in it: a wrong guess would throw away what was begun ahead. Keys that do not stand in their own group, one in ten, are looked for
// in between.
class Pipeline {
 public:
  // `bytes`: how much of a row will be used.
  Pipeline(const Directory& directory, const RowLayout& layout, size_t bytes)
      : directory_(directory), layout_(layout), bytes_(bytes), aligned_(layout.stride % 64 == 0) {}

  // Keys in a block, by the bytes of a row that a batch uses: a fetch that finds all of the core's places for lines taken holds up
  // what comes behind it.
  static constexpr size_t BlockFor(size_t bytes) { return bytes <= 64 ? 12 : bytes <= 128 ? 8 : 4; }
  static constexpr size_t kWriteBlock = 4;

  // Takes keys [begin, n) through; done(i, pending) returns false to stop in front of key i. Returns where it stopped, n at the
  // end. Timestamps are fetched for writes alone.
  template <bool kWrite, size_t kBlock, class Done>
  size_t Run(const int64_t* keys, size_t begin, size_t n, Done done) {
    static_assert(3 * kBlock <= kRing);
    const size_t blocks = (n - begin + kBlock - 1) / kBlock;
    for (size_t b = 0; b < blocks + 2; ++b) {
      const size_t first = begin + b * kBlock;
      for (size_t i = first, end = std::min(n, first + kBlock); i < end; ++i) FetchGroup(keys[i], i);
      if (b == 0) continue;
      const size_t before = first - kBlock, before_end = std::min(n, first);
      for (size_t i = before; i < before_end; ++i) FetchRow<kWrite>(i);
      if (b > 1) {
        for (size_t i = before - kBlock, end = std::min(n, before); i < end; ++i)
          if (!done(i, Of(i))) return i;
      }
      for (size_t i = before; i < before_end; ++i) FetchMoved<kWrite>(i);
    }
    return n;
  }

 private:
  static constexpr size_t kRing = 64;  // three blocks are under way

  void FetchGroup(int64_t key, size_t i) {
    const size_t k = i % kRing;
    const uint64_t hash = HashKey(key);
    Segment* segment = directory_.Of(hash);
    KeyGroup* group = segment->Group(segment->Home(hash));
    __builtin_prefetch(group);
    hashes_[k] = hash;
    segments_[k] = segment;
    groups_[k] = group;
  }

  template <bool kWrite>
  void FetchRow(size_t i) {
    const size_t k = i % kRing;
    const KeyGroup* group = groups_[k];
    bool found;
    const uint8_t meta = group->meta.load(std::memory_order_acquire);
    const RowId id = group->FirstRow(hashes_[k], meta, &found);
    const auto* runs = segments_[k]->runs();
    char* row = layout_.Row(runs, id);
    ids_[k] = id;
    rows_[k] = found ? row : nullptr;
    // A key that is not here stands near by if its own group is full, or is to stand in its own.
    const bool full = meta >= KeyGroup::kAllUsed;
    const auto near = [&](unsigned step) { return reinterpret_cast<const char*>(group + (full ? KeyGroup::kSteps[step] : 0)); };
    if (kWrite) __builtin_prefetch(found ? reinterpret_cast<const char*>(layout_.Timestamp(runs, id)) : near(1), 1);
    Prefetch<kWrite>(found ? row : near(1));
    __builtin_prefetch(found ? row : near(2));
    __builtin_prefetch(found ? row : near(3));
  }

  template <bool kWrite>
  void FetchMoved(size_t i) {
    const size_t k = i % kRing;
    Place place;
    if (__builtin_expect(rows_[k] != nullptr, 1) || !Probe(*segments_[k], hashes_[k], &place)) return;
    ids_[k] = place.id;
    rows_[k] = segments_[k]->Row(place.id);
    Prefetch<kWrite>(rows_[k]);
    if (kWrite) __builtin_prefetch(segments_[k]->Timestamp(place.id), 1);
  }

  template <bool kWrite>
  void Prefetch(const char* p) const {
    __builtin_prefetch(p, kWrite ? 1 : 0);
    for (size_t i = 64; i < bytes_; i += 64) __builtin_prefetch(p + i, kWrite ? 1 : 0);
    if (!aligned_) __builtin_prefetch(p + bytes_ - 1, kWrite ? 1 : 0);
  }

  Pending Of(size_t i) const {
    const size_t k = i % kRing;
    return {segments_[k], rows_[k], hashes_[k], ids_[k]};
  }

  const Directory& directory_;
  const RowLayout layout_;
  const size_t bytes_;
  const bool aligned_;
  Segment* segments_[kRing];
  const KeyGroup* groups_[kRing];
  char* rows_[kRing];
  uint64_t hashes_[kRing];
  RowId ids_[kRing];
};

}  // namespace monolith
