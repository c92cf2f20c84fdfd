// How a batch of keys goes through the memory: many lines on their way at once.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/tables/table_impl.h"

namespace monolith {

// A batch runs as one pipeline of blocks: while the rows of block b are worked on, those of block b + 1 are being fetched,
// and the groups of block b + 2. A block is as many lines as a core can have in flight. Inside a block each step is a loop of
// its own without branches that depend on what memory holds: a wrong guess there would throw away what was begun ahead.
constexpr size_t kBlock = 16;
struct Pending {
  Segment* segment;
  KeyGroup* group;
  uint64_t hash;
  char* row;  // nullptr: not found
  RowId id;
};

// Loads stay on their side of it; the CPU does so by itself on x86.
inline void LoadBarrier() {
#if defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
}

// Bytes that a writer may be changing meanwhile; the caller finds out by the row's lock and reads again.
__attribute__((no_sanitize("thread"))) inline void CopyBytes(void* __restrict out, const char* in, size_t n) {
#ifdef MONOLITH_TSAN
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const uint32_t bits = __atomic_load_n(reinterpret_cast<const uint32_t*>(in + i), __ATOMIC_RELAXED);
    std::memcpy(static_cast<char*>(out) + i, &bits, sizeof bits);
  }
  for (; i < n; ++i) static_cast<char*>(out)[i] = __atomic_load_n(in + i, __ATOMIC_RELAXED);
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

template <bool kWrite>
inline void PrefetchBytes(const char* p, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, kWrite ? 1 : 0);
  // A row that does not begin on a line ends on one more.
  if (reinterpret_cast<uintptr_t>(p) % 64 + (bytes - 1) % 64 >= 64) __builtin_prefetch(p + bytes - 1, kWrite ? 1 : 0);
}

template <bool kWrite>
inline void FetchRow(size_t bytes, Pending* p) {
  p->row = p->segment->Row(p->id);
  PrefetchBytes<kWrite>(p->row, bytes);
  if (kWrite) __builtin_prefetch(p->segment->Timestamp(p->id), 1);
}

// One block on its way through the pipeline.
struct Block {
  Pending keys[kBlock];
  uint32_t later[kBlock];  // which keys do not stand in their own group
  size_t num_later;
};

inline void FetchGroups(const Directory& directory, const int64_t* keys, size_t n, Block* b) {
  for (size_t i = 0; i < n; ++i) {
    Pending& p = b->keys[i];
    p.hash = HashKey(keys[i]);
    p.segment = directory.Of(p.hash);
    p.group = p.segment->Group(p.segment->Home(p.hash));
    __builtin_prefetch(p.group);
  }
}

template <bool kWrite>
inline void FetchRows(size_t n, size_t bytes, Block* b) {
  size_t later = 0;
  for (size_t i = 0; i < n; ++i) {
    Pending& p = b->keys[i];
    const uint8_t m = p.group->meta.load(std::memory_order_acquire);
    // For a key that is not here this fetches some row for nothing; it is looked up again below.
    bool found;
    p.id = p.group->FirstRow(p.hash, m, &found);
    FetchRow<kWrite>(bytes, &p);
    b->later[later] = static_cast<uint32_t>(i);
    later += !found;
  }
  b->num_later = later;
}

template <bool kWrite>
inline void FetchLater(size_t bytes, Block* b) {
  for (size_t k = 0; k < b->num_later; ++k) {
    Pending& p = b->keys[b->later[k]];
    Place place;
    if (Probe(*p.segment, p.hash, &place)) {
      p.id = place.id;
      FetchRow<kWrite>(bytes, &p);
    } else {
      p.row = nullptr;
    }
  }
}

// Takes keys [begin, n) through the pipeline; done(i, pending) returns false to stop in front of key i. Returns where it
// stopped, n at the end.
template <bool kWrite, class Done>
inline size_t Pipeline(const Directory& directory, const int64_t* keys, size_t begin, size_t n, size_t prefetch_bytes, Done done) {
  Block blocks[4];
  const size_t num_blocks = (n - begin + kBlock - 1) / kBlock;
  const auto first = [&](size_t b) { return keys + begin + b * kBlock; };
  const auto size = [&](size_t b) { return std::min(kBlock, n - begin - b * kBlock); };
  for (size_t b = 0; b < num_blocks + 2; ++b) {
    if (b < num_blocks) FetchGroups(directory, first(b), size(b), &blocks[b % 4]);
    if (b >= 1 && b - 1 < num_blocks) FetchRows<kWrite>(size(b - 1), prefetch_bytes, &blocks[(b - 1) % 4]);
    if (b >= 2) {
      const Block& ready = blocks[(b - 2) % 4];
      const size_t at = begin + (b - 2) * kBlock, m = size(b - 2);
      for (size_t i = 0; i < m; ++i)
        if (!done(at + i, ready.keys[i])) return at + i;
    }
    if (b >= 1 && b - 1 < num_blocks) FetchLater<kWrite>(prefetch_bytes, &blocks[(b - 1) % 4]);
  }
  return n;
}

}  // namespace monolith
