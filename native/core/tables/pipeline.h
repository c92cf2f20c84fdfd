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
  Group* group;
  float* row;  // nullptr: not found
  uint32_t row_number;
};

// Floats that a writer may be changing meanwhile; the caller finds out by the row's lock and reads again.
__attribute__((no_sanitize("thread"))) inline void CopyFloats(float* __restrict out, const float* in, size_t n) {
#ifdef MONOLITH_TSAN
  for (size_t i = 0; i < n; ++i) {
    const uint32_t bits = __atomic_load_n(reinterpret_cast<const uint32_t*>(in) + i, __ATOMIC_RELAXED);
    std::memcpy(out + i, &bits, sizeof bits);
  }
#else
  size_t whole = 0;
#if defined(__AVX2__)
  whole = n & ~size_t{7};
  for (size_t i = 0; i < whole; i += 8) _mm256_storeu_ps(out + i, _mm256_loadu_ps(in + i));
#endif
  for (size_t i = whole; i < n; ++i) out[i] = in[i];
#endif
}

// Loads stay on their side of it; the CPU does so by itself on x86.
inline void LoadBarrier() {
#if defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
}

// Goes along the groups a key may stand in. True when found.
inline bool Probe(int64_t key, Group* group, Pending* p) {
  for (;; ++group) {
    const uint32_t m = group->meta.load(std::memory_order_acquire);
    if (const unsigned hits = group->Match(key, m)) {
      p->row_number = group->rows[__builtin_ctz(hits)];
      return true;
    }
    if (!(m & Meta::kOverflow)) return false;
  }
}

template <bool kWrite>
inline void PrefetchBytes(const void* from, size_t bytes) {
  const char* p = static_cast<const char*>(from);
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, kWrite ? 1 : 0);
  // A row that does not begin on a line ends on one more.
  if (reinterpret_cast<uintptr_t>(p) % 64 + (bytes - 1) % 64 >= 64) __builtin_prefetch(p + bytes - 1, kWrite ? 1 : 0);
}

template <bool kWrite>
inline void PrefetchRow(const RowStore::Address& rows, size_t bytes, Pending* p) {
  p->row = rows.Row(p->row_number);
  PrefetchBytes<kWrite>(p->row, bytes);
  if (kWrite) __builtin_prefetch(rows.Timestamp(p->row_number), 1);
}

// Looks for a key from p->group on.
template <bool kWrite>
inline void Resolve(const RowStore::Address& rows, int64_t key, size_t prefetch_bytes, Pending* p) {
  if (Probe(key, p->group, p)) PrefetchRow<kWrite>(rows, prefetch_bytes, p);
  else p->row = nullptr;
}

// One block on its way through the pipeline.
struct Block {
  Pending keys[kBlock];
  uint32_t later[kBlock];  // which keys do not stand in their own group
  size_t num_later;
};

inline void FetchGroups(const View& view, const int64_t* keys, size_t n, Block* b) {
  for (size_t i = 0; i < n; ++i) {
    Group* g = view.Home(HashKey(keys[i]));
    b->keys[i].group = g;
    __builtin_prefetch(g);
  }
}

template <bool kWrite>
inline void FetchRows(const RowStore::Address& rows, const int64_t* keys, size_t n, size_t bytes, Block* b) {
  size_t later = 0;
  for (size_t i = 0; i < n; ++i) {
    Pending& p = b->keys[i];
    const Group* g = p.group;
    const uint32_t m = g->meta.load(std::memory_order_acquire);
    const unsigned hits = g->Match(keys[i], m);
    // For a key that is not here this is row 0: fetched for nothing, and looked up again below.
    p.row_number = hits ? g->rows[__builtin_ctz(hits | 1u << (Group::kSlots - 1))] : 0;
    p.row = rows.Row(p.row_number);
    PrefetchBytes<kWrite>(p.row, bytes);
    if (kWrite) __builtin_prefetch(rows.Timestamp(p.row_number), 1);
    b->later[later] = static_cast<uint32_t>(i);
    later += hits == 0;
  }
  b->num_later = later;
  for (size_t k = 0; k < later; ++k) __builtin_prefetch(b->keys[b->later[k]].group + 1);
}

template <bool kWrite>
inline void FetchLater(const RowStore::Address& rows, const int64_t* keys, size_t bytes, Block* b) {
  for (size_t k = 0; k < b->num_later; ++k) Resolve<kWrite>(rows, keys[b->later[k]], bytes, &b->keys[b->later[k]]);
}

// Takes keys [begin, n) through the pipeline; done(i, pending) returns false to stop in front of key i. Returns where it
// stopped, n at the end.
template <bool kWrite, class Done>
inline size_t Pipeline(const State& s, const int64_t* keys, size_t begin, size_t n, size_t prefetch_bytes, Done done) {
  const View& view = *s.view;
  const RowStore::Address rows = s.rows->address();
  if (s.rows->rows() == 0) {  // there is no row 0 yet
    Pending none{};
    for (size_t i = begin; i < n; ++i)
      if (!done(i, none)) return i;
    return n;
  }
  Block blocks[4];
  const size_t num_blocks = (n - begin + kBlock - 1) / kBlock;
  const auto first = [&](size_t b) { return keys + begin + b * kBlock; };
  const auto size = [&](size_t b) { return std::min(kBlock, n - begin - b * kBlock); };
  for (size_t b = 0; b < num_blocks + 2; ++b) {
    if (b < num_blocks) FetchGroups(view, first(b), size(b), &blocks[b % 4]);
    if (b >= 1 && b - 1 < num_blocks) {
      FetchRows<kWrite>(rows, first(b - 1), size(b - 1), prefetch_bytes, &blocks[(b - 1) % 4]);
    }
    if (b >= 2) {
      const Block& ready = blocks[(b - 2) % 4];
      const size_t at = begin + (b - 2) * kBlock, m = size(b - 2);
      for (size_t i = 0; i < m; ++i)
        if (!done(at + i, ready.keys[i])) return at + i;
    }
    if (b >= 1 && b - 1 < num_blocks) FetchLater<kWrite>(rows, first(b - 1), prefetch_bytes, &blocks[(b - 1) % 4]);
  }
  return n;
}

// Copies a row; waits for nothing but a writer of this very row.
inline void CopyWhole(const RowStore::Address& rows, uint32_t row_number, const float* row, float* out, size_t dim) {
  const RowLock& lock = rows.Lock(row_number);
  for (;;) {
    const uint64_t before = lock.word.load(std::memory_order_acquire);
    CopyFloats(out, row, dim);
    LoadBarrier();
    if (__builtin_expect(RowLock::Unchanged(before, lock.word.load(std::memory_order_acquire), row_number), 1)) return;
    Pause();
  }
}

}  // namespace monolith
