#include "core/tables/table.h"

#include <cstring>

#include "core/tables/table_impl.h"

namespace monolith {
namespace {

using Impl = EmbeddingTable::Impl;

// A batch runs as one pipeline of blocks: while the rows of block b are worked on, those of block b + 1 are being fetched,
// and the groups of block b + 2. A block is as many lines as a core can have in flight. Inside a block each step is a loop of
// its own without branches that depend on what memory holds: a wrong guess there would throw away what was begun ahead.
constexpr size_t kBlock = 16;
// Keys in one section: the longest that growth waits for writers, and freed memory for readers.
constexpr size_t kSectionKeys = 4096;

struct Pending {
  Group* group;
  float* row;  // nullptr: not found
  uint32_t meta;
  uint32_t row_number;
  unsigned slot;
};

// Floats that a writer may be changing meanwhile; the caller finds out by the group's version and reads again.
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
      p->group = group;
      p->meta = m;
      p->slot = static_cast<unsigned>(__builtin_ctz(hits));
      p->row_number = group->rows[p->slot];
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

template <bool kWrite>
inline void FetchGroups(const View& view, const int64_t* keys, size_t n, Block* b) {
  for (size_t i = 0; i < n; ++i) {
    Group* g = view.Home(HashKey(keys[i]));
    b->keys[i].group = g;
    __builtin_prefetch(g, kWrite ? 1 : 0);
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
    // For a key that is not here this is some row of the group, or row 0: fetched for nothing, and looked up again below.
    p.meta = m;
    p.slot = static_cast<unsigned>(__builtin_ctz(hits | 1u << (Group::kSlots - 1)));
    p.row_number = hits ? g->rows[p.slot] : 0;
    p.row = rows.Row(p.row_number);
    PrefetchBytes<kWrite>(p.row, bytes);
    if (kWrite) __builtin_prefetch(rows.Timestamp(p.row_number), 1);
    b->later[later] = static_cast<uint32_t>(i);
    later += hits == 0;
  }
  b->num_later = later;
  for (size_t k = 0; k < later; ++k) __builtin_prefetch(b->keys[b->later[k]].group + 1, kWrite ? 1 : 0);
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
    if (b < num_blocks) FetchGroups<kWrite>(view, first(b), size(b), &blocks[b % 4]);
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

inline bool CopyIfWhole(const Pending& p, const View& view, float* out, size_t dim) {
  if (Meta::WritesSlot(p.meta, p.slot)) return false;
  CopyFloats(out, p.row, dim);
  LoadBarrier();
  return Meta::Unchanged(p.meta, p.group->meta.load(std::memory_order_acquire), p.slot) &&
         !view.stale.load(std::memory_order_acquire);
}

// Reads keys [begin, n) of a batch; returns where it stopped because the view became stale, n at the end.
// on_done(i, found) follows every key. kDim = 0: any length.
template <int kDim, class Done>
size_t ReadSome(const State& s, const int64_t* keys, size_t begin, size_t n, size_t any_dim, float* out, Done on_done) {
  const View& view = *s.view;
  const size_t dim = kDim ? kDim : any_dim;
  return Pipeline<false>(s, keys, begin, n, dim * sizeof(float), [&](size_t i, Pending p) {
    while (p.row && !CopyIfWhole(p, view, out + i * dim, dim)) {
      if (view.stale.load(std::memory_order_acquire)) return false;
      Pause();
      p.group = view.Home(HashKey(keys[i]));
      Resolve<false>(s.rows->address(), keys[i], 0, &p);
    }
    on_done(i, p.row != nullptr);
    return true;
  });
}

template <class Done>
void ReadAll(Impl& impl, const int64_t* keys, size_t n, size_t dim, float* out, Done on_done) {
  for (size_t begin = 0; begin < n;) {
    const size_t end = std::min(n, begin + kSectionKeys);
    Impl::ReadSection section(impl);
    const State& s = section.state();
    switch (dim) {
      case 8: begin = ReadSome<8>(s, keys, begin, end, dim, out, on_done); break;
      case 16: begin = ReadSome<16>(s, keys, begin, end, dim, out, on_done); break;
      case 32: begin = ReadSome<32>(s, keys, begin, end, dim, out, on_done); break;
      default: begin = ReadSome<0>(s, keys, begin, end, dim, out, on_done);
    }
  }
}

// --- writing: an Op has Existing(i, row), Fresh(i, key, row) for a row whose bytes are all 0, and Timestamp(i)

template <class Op>
inline void WriteExisting(const RowStore::Address& rows, const Pending& p, size_t i, Op& op) {
  const uint32_t m = p.group->Lock(p.slot + 1);
  op.Existing(i, p.row);
  uint32_t* ts = rows.Timestamp(p.row_number);
  if (*ts != op.Timestamp(i)) *ts = op.Timestamp(i);
  p.group->Unlock(m + Meta::kVersion);
}

// Holds the group that a key belongs to, and with it the right to insert that key; lets go of it in the end.
struct HomeLock {
  explicit HomeLock(Group* g) : group(g), meta(g->Lock(7)) {}
  ~HomeLock() { group->Unlock(meta); }
  Group* group;
  uint32_t meta;
};

// A group with a free slot, held: `home` itself or a later one. False when there is none left.
bool FindRoom(HomeLock* home, Group* end, Group** group, uint32_t* meta) {
  Group* g = home->group;
  uint32_t m = home->meta;
  while ((m & Meta::kCount) == Group::kSlots) {
    if (g + 1 == end) {
      if (g != home->group) g->Unlock(m);
      return false;
    }
    const uint32_t next = (g + 1)->Lock(7);
    if (g == home->group) home->meta |= Meta::kOverflow;
    else g->Unlock(m | Meta::kOverflow);
    m = next;
    ++g;
  }
  *group = g;
  *meta = m;
  return true;
}

// Inserts the key, or finds that another thread or an earlier key of the batch did. False when the index must grow first.
template <class Op>
bool WriteAbsent(const State& s, int64_t key, size_t i, Op& op) {
  const uint64_t hash = HashKey(key);
  Segment* segment = s.view->SegmentOf(hash);
  Pending p;
  {
    HomeLock home(s.view->Home(hash));
    // Only the holder of this lock inserts keys of this home, so what a probe does not find is not there.
    bool found = false;
    for (Group* g = home.group;; ++g) {
      const uint32_t m = g == home.group ? home.meta : g->meta.load(std::memory_order_acquire);
      if (const unsigned hits = g->Match(key, m)) {
        p.group = g;
        p.slot = static_cast<unsigned>(__builtin_ctz(hits));
        p.row_number = g->rows[p.slot];
        found = true;
        break;
      }
      if (!(m & Meta::kOverflow)) break;
    }
    if (!found) {
      if (segment->count.load(std::memory_order_relaxed) >= segment->limit()) return false;
      Group* group;
      uint32_t m;
      if (!FindRoom(&home, segment->end(), &group, &m)) return false;
      uint32_t row;
      try {
        row = s.rows->Allocate();
      } catch (...) {
        if (group != home.group) group->Unlock(m);
        throw;
      }
      op.Fresh(i, key, s.rows->Row(row));
      *s.rows->Timestamp(row) = op.Timestamp(i);
      const uint32_t used = m & Meta::kCount;
      group->keys[used] = key;
      group->rows[used] = row;
      if (group == home.group) ++home.meta;
      else group->Unlock(m + 1);
      segment->count.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
  }
  p.row = s.rows->Row(p.row_number);
  WriteExisting(s.rows->address(), p, i, op);
  return true;
}

// As ReadSome; stops in front of a key that needs growth.
template <class Op>
size_t WriteSome(const State& s, const int64_t* keys, size_t begin, size_t n, Op& op) {
  const RowStore::Address rows = s.rows->address();
  return Pipeline<true>(s, keys, begin, n, rows.stride, [&](size_t i, const Pending& p) {
    if (!p.row) return WriteAbsent(s, keys[i], i, op);
    WriteExisting(rows, p, i, op);
    return true;
  });
}

template <class Op>
void WriteAll(Impl& impl, const int64_t* keys, size_t n, Op op) {
  for (size_t begin = 0; begin < n;) {
    const size_t end = std::min(n, begin + kSectionKeys);
    const State* seen;
    {
      Impl::WriteSection section(impl);
      seen = impl.state.load(std::memory_order_seq_cst);
      begin = WriteSome(*seen, keys, begin, end, op);
    }
    if (begin < end) impl.Grow(seen, HashKey(keys[begin]));
  }
}

struct AssignOp {
  const RowPlan& plan;
  const float* values;
  uint32_t now;
  uint32_t Timestamp(size_t) const { return now; }
  void Existing(size_t i, float* row) const { std::memcpy(row, values + i * plan.dim(), plan.dim() * sizeof(float)); }
  void Fresh(size_t i, int64_t, float* row) const {
    Existing(i, row);
    plan.InitState(row);
  }
};

struct AssignAddOp {
  const RowPlan& plan;
  const float* values;
  uint32_t now;
  uint32_t Timestamp(size_t) const { return now; }
  void Existing(size_t i, float* row) const {
    const float* v = values + i * plan.dim();
    for (int d = 0; d < plan.dim(); ++d) row[d] += v[d];
  }
  void Fresh(size_t i, int64_t key, float* row) const {
    plan.InitWeights(key, row);
    plan.InitState(row);
    Existing(i, row);
  }
};

struct OptimizeOp {
  const RowPlan& plan;
  const float* grads;
  const float* learning_rates;
  uint32_t now;
  uint32_t Timestamp(size_t) const { return now; }
  void Existing(size_t i, float* row) const { plan.Step(row, grads + i * plan.dim(), learning_rates); }
  void Fresh(size_t i, int64_t key, float* row) const {
    plan.InitWeights(key, row);
    plan.InitState(row);
    Existing(i, row);
  }
};

struct PutOp {
  const RowPlan& plan;
  const float* rows;
  const uint32_t* timestamps;
  uint32_t Timestamp(size_t i) const { return timestamps[i]; }
  void Existing(size_t i, float* row) const { std::memcpy(row, rows + i * plan.row_floats(), plan.row_floats() * sizeof(float)); }
  void Fresh(size_t i, int64_t, float* row) const { Existing(i, row); }
};

void PrefetchRows(const State& s, const Group& g) {
  const uint32_t used = g.meta.load(std::memory_order_acquire) & Meta::kCount;
  for (uint32_t k = 0; k < used; ++k) {
    PrefetchBytes<false>(s.rows->Row(g.rows[k]), s.rows->stride());
    __builtin_prefetch(s.rows->Timestamp(g.rows[k]));
  }
}

const TableConfig& Validated(const TableConfig& config) {
  ValidateTableConfig(config);
  return config;
}

}  // namespace

EmbeddingTable::EmbeddingTable(const TableConfig& config)
    : dim_(Validated(config).dim()), impl_(std::make_unique<Impl>(config)) {}
EmbeddingTable::~EmbeddingTable() = default;

const TableConfig& EmbeddingTable::config() const { return impl_->config; }
const RowPlan& EmbeddingTable::plan() const { return impl_->plan; }
uint32_t EmbeddingTable::max_update_ts() const { return impl_->max_update_ts.load(std::memory_order_relaxed); }

void EmbeddingTable::RaiseMaxUpdateTs(uint32_t ts) {
  uint32_t seen = max_update_ts();
  while (seen < ts && !impl_->max_update_ts.compare_exchange_weak(seen, ts, std::memory_order_relaxed)) {
  }
}

size_t EmbeddingTable::size() const {
  Impl::ReadSection section(*impl_);
  size_t n = 0;
  const Segment* last = nullptr;
  for (const auto& s : section.state().view->segments()) {
    if (s.get() != last) n += s->count.load(std::memory_order_relaxed);
    last = s.get();
  }
  return n;
}

size_t EmbeddingTable::memory_bytes() const {
  Impl::ReadSection section(*impl_);
  size_t n = section.state().rows->memory_bytes();
  const Segment* last = nullptr;
  for (const auto& s : section.state().view->segments()) {
    if (s.get() != last) n += s->bytes();
    last = s.get();
  }
  return n;
}

size_t EmbeddingTable::Lookup(const int64_t* keys, size_t n, float* out) const {
  size_t hits = 0;
  const size_t dim = static_cast<size_t>(dim_);
  ReadAll(*impl_, keys, n, dim, out, [&](size_t i, bool found) {
    if (found) ++hits;
    else std::memset(out + i * dim, 0, dim * sizeof(float));
  });
  return hits;
}

void EmbeddingTable::CopyRows(const int64_t* keys, size_t n, float* out, uint8_t* found) const {
  ReadAll(*impl_, keys, n, static_cast<size_t>(dim_), out, [&](size_t i, bool there) { found[i] = there; });
}

bool EmbeddingTable::Contains(int64_t key) const {
  Impl::ReadSection section(*impl_);
  Pending p;
  return Probe(key, section.state().view->Home(HashKey(key)), &p);
}

bool EmbeddingTable::GetRow(int64_t key, std::vector<float>* floats, uint32_t* timestamp) const {
  floats->resize(static_cast<size_t>(impl_->plan.row_floats()));
  for (;;) {
    Impl::ReadSection section(*impl_);
    const State& s = section.state();
    Pending p;
    p.group = s.view->Home(HashKey(key));
    Resolve<false>(s.rows->address(), key, 0, &p);
    if (!p.row) return false;
    float ts;
    CopyFloats(&ts, reinterpret_cast<const float*>(s.rows->Timestamp(p.row_number)), 1);
    std::memcpy(timestamp, &ts, sizeof ts);
    LoadBarrier();
    if (CopyIfWhole(p, *s.view, floats->data(), floats->size())) return true;
    Pause();
  }
}

void EmbeddingTable::Assign(const int64_t* keys, size_t n, const float* values, uint32_t now) {
  RaiseMaxUpdateTs(now);
  WriteAll(*impl_, keys, n, AssignOp{impl_->plan, values, now});
}

void EmbeddingTable::AssignAdd(const int64_t* keys, size_t n, const float* values, uint32_t now) {
  RaiseMaxUpdateTs(now);
  WriteAll(*impl_, keys, n, AssignAddOp{impl_->plan, values, now});
}

void EmbeddingTable::Optimize(const int64_t* keys, size_t n, const float* grads, const float* learning_rates, uint32_t now,
                              int64_t) {
  RaiseMaxUpdateTs(now);
  WriteAll(*impl_, keys, n, OptimizeOp{impl_->plan, grads, learning_rates, now});
}

void EmbeddingTable::PutRows(const int64_t* keys, size_t n, const float* rows, const uint32_t* timestamps) {
  WriteAll(*impl_, keys, n, PutOp{impl_->plan, rows, timestamps});
}

void EmbeddingTable::Clear() {
  Freeze frozen(*this);
  impl_->Publish(new State{NewView(impl_->config.initial_capacity), std::make_shared<RowStore>(impl_->plan.row_floats())});
}

EmbeddingTable::Freeze::Freeze(const EmbeddingTable& table) : table_(table) { table.impl_->FreezeWriters(); }
EmbeddingTable::Freeze::~Freeze() { table_.impl_->ThawWriters(); }

std::pair<size_t, size_t> ShardRange(size_t total, size_t shard, size_t shards) {
  const size_t each = total / shards, rest = total % shards;
  const size_t begin = shard * each + std::min(shard, rest);
  return {begin, begin + each + (shard < rest)};
}

bool EmbeddingTable::Freeze::Walk(size_t shard, size_t shards, size_t* offset, size_t limit,
                                  const std::function<bool(const Row&)>& visit) const {
  const State& s = *table_.impl_->state.load();
  std::vector<const Segment*> segments;
  size_t total = 0;
  for (const auto& segment : s.view->segments()) {
    if (!segments.empty() && segments.back() == segment.get()) continue;
    segments.push_back(segment.get());
    total += segment->total();
  }
  auto [begin, end] = ShardRange(total, shard, shards);
  constexpr size_t kAhead = 4;  // groups whose rows are fetched in advance
  size_t first = 0;             // number of the segment's first group
  for (const Segment* segment : segments) {
    const size_t to = std::min(end, first + segment->total());
    for (size_t i = begin + *offset / Group::kSlots; i >= first && i < to; ++i) {
      const Group& g = segment->groups()[i - first];
      if (i + kAhead < to) PrefetchRows(s, segment->groups()[i + kAhead - first]);
      const uint32_t used = g.meta.load(std::memory_order_acquire) & Meta::kCount;
      for (uint32_t k = *offset % Group::kSlots; k < used; ++k) {
        if (limit == 0) return false;
        --limit;
        ++*offset;
        if (!visit({g.keys[k], *s.rows->Timestamp(g.rows[k]), s.rows->Row(g.rows[k])})) return false;
      }
      *offset = (i - begin + 1) * Group::kSlots;
    }
    first += segment->total();
  }
  return true;
}

}  // namespace monolith
