#include "core/tables/table.h"

#include <cstring>

#include "core/base/error.h"
#include "core/tables/admission.h"
#include "core/tables/encoded_rows.h"
#include "core/tables/filters/occurrence_gate.h"
#include "core/tables/pipeline.h"
#include "core/tables/reinitialize_op.h"
#include "core/tables/row_ops.h"
#include "core/tables/table_impl.h"
#include "core/tables/touched_keys.h"
#include "core/tables/zero_rows.h"

namespace monolith {
namespace {

using Impl = EmbeddingTable::Impl;

// Keys in one section: the longest that growth waits for writers, and freed memory for readers.
constexpr size_t kSectionKeys = 4096;

// Reads keys [begin, n) of a batch; on_done(i, found) follows every key. kDim = 0: any length. A view that is replaced
// meanwhile stays good to read: growth does not move rows, and those of a cleared table stay as they were.
template <int kDim, class Done>
void ReadSome(const State& s, const int64_t* keys, size_t begin, size_t n, size_t any_dim, float* out, Done on_done) {
  const size_t dim = kDim ? kDim : any_dim;
  const RowStore::Address rows = s.rows->address();
  Pipeline<false>(s, keys, begin, n, dim * sizeof(float), [&](size_t i, const Pending& p) {
    if (p.row) CopyWhole(rows, p.row_number, p.row, out + i * dim, dim);
    on_done(i, p.row != nullptr);
    return true;
  });
}

// The same for rows that are not the floats a lookup gives: a copy of the row, then what stands for it.
template <class Done>
void ReadEncoded(const State& s, const RowPlan& plan, const int64_t* keys, size_t begin, size_t n, float* out, Done on_done) {
  const size_t dim = static_cast<size_t>(plan.dim()), bytes = plan.lookup_bytes();
  const RowStore::Address rows = s.rows->address();
  RowBuffer copy(bytes);
  Pipeline<false>(s, keys, begin, n, bytes, [&](size_t i, const Pending& p) {
    if (p.row) {
      CopyWholeBytes(rows, p.row_number, p.row, copy.data(), bytes);
      plan.Fill(copy.data(), out + i * dim);
    }
    on_done(i, p.row != nullptr);
    return true;
  });
}

template <class Done>
void ReadAll(Impl& impl, const int64_t* keys, size_t n, size_t dim, float* out, Done on_done) {
  for (size_t begin = 0; begin < n; begin += kSectionKeys) {
    const size_t end = std::min(n, begin + kSectionKeys);
    Impl::ReadSection section(impl);
    const State& s = section.state();
    if (!impl.plan.raw()) {
      ReadEncoded(s, impl.plan, keys, begin, end, out, on_done);
      continue;
    }
    switch (dim) {
      case 8: ReadSome<8>(s, keys, begin, end, dim, out, on_done); break;
      case 16: ReadSome<16>(s, keys, begin, end, dim, out, on_done); break;
      case 32: ReadSome<32>(s, keys, begin, end, dim, out, on_done); break;
      default: ReadSome<0>(s, keys, begin, end, dim, out, on_done);
    }
  }
}

// --- writing: an Op has Existing(i, row), Fresh(i, key, row) for a row whose bytes are all 0, and Timestamp(i)

template <class Op>
inline void WriteExisting(const RowStore::Address& rows, const Pending& p, size_t i, Op& op) {
  RowLock& lock = rows.Lock(p.row_number);
  const uint64_t held = lock.Lock(p.row_number);
  op.Existing(i, p.row);
  uint32_t* ts = rows.Timestamp(p.row_number);
  if (*ts != op.Timestamp(i)) *ts = op.Timestamp(i);
  lock.Unlock(held);
}

// Holds the group that a key belongs to, and with it the right to insert that key; lets go of it in the end.
struct HomeLock {
  explicit HomeLock(Group* g) : group(g), meta(g->Lock()) {}
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
    const uint32_t next = (g + 1)->Lock();
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
        p.row_number = g->rows[__builtin_ctz(hits)];
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

// Writes keys [begin, n); returns where it stopped, in front of a key that needs growth, or n.
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
  const RowPlan& plan = impl_->plan;
  floats->resize(static_cast<size_t>(plan.row_floats()));
  RowBuffer copy(plan.row_bytes());
  Impl::ReadSection section(*impl_);
  const State& s = section.state();
  const RowStore::Address rows = s.rows->address();
  Pending p;
  if (!Probe(key, s.view->Home(HashKey(key)), &p)) return false;
  const RowLock& lock = rows.Lock(p.row_number);
  for (;;) {
    const uint64_t before = lock.word.load(std::memory_order_acquire);
    CopyBytes(timestamp, rows.Timestamp(p.row_number), sizeof *timestamp);
    CopyBytes(copy.data(), rows.Row(p.row_number), plan.row_bytes());
    LoadBarrier();
    if (RowLock::Unchanged(before, lock.word.load(std::memory_order_acquire), p.row_number)) break;
    Pause();
  }
  plan.Get(copy.data(), floats->data());
  return true;
}

void EmbeddingTable::Contains(const int64_t* keys, size_t n, uint8_t* found) const {
  for (size_t begin = 0; begin < n; begin += kSectionKeys) {
    Impl::ReadSection section(*impl_);
    Pipeline<false>(section.state(), keys, begin, std::min(n, begin + kSectionKeys), sizeof(float), [&](size_t i, const Pending& p) {
      found[i] = p.row != nullptr;
      return true;
    });
  }
}

void EmbeddingTable::Assign(const int64_t* keys, size_t n, const float* values, uint32_t now) {
  RaiseMaxUpdateTs(now);
  const AdmittedBatch batch(*this, gate(), keys, nullptr, n, values, 0);
  if (impl_->config.skip_zero_embedding) {
    const NonZeroRows rows = WithoutZeros(batch.keys(), batch.size(), batch.rows(), static_cast<size_t>(dim_), nullptr);
    WriteAll(*impl_, rows.keys.data(), rows.keys.size(), AssignOp{impl_->plan, rows.values.data(), now});
    return SetToZeros(rows.dropped, now);
  }
  WriteAll(*impl_, batch.keys(), batch.size(), AssignOp{impl_->plan, batch.rows(), now});
}

void EmbeddingTable::SetToZeros(const std::vector<int64_t>& keys, uint32_t now) {
  const std::vector<float> zeros(static_cast<size_t>(dim_));
  for (int64_t key : keys)
    if (Contains(key)) WriteAll(*impl_, &key, 1, AssignOp{impl_->plan, zeros.data(), now});
}

void EmbeddingTable::AssignAdd(const int64_t* keys, size_t n, const float* values, uint32_t now) {
  RaiseMaxUpdateTs(now);
  const AdmittedBatch batch(*this, gate(), keys, nullptr, n, values, 0);
  WriteAll(*impl_, batch.keys(), batch.size(), AssignAddOp{impl_->plan, batch.rows(), now});
}

void EmbeddingTable::OptimizeDistinct(const int64_t* keys, const uint32_t* counts, size_t n, const float* grads,
                                      const float* learning_rates, uint32_t now, int64_t global_step) {
  CheckSteps(impl_->config.name, impl_->plan, global_step);
  RaiseMaxUpdateTs(now);
  const AdmittedBatch batch(*this, gate(), keys, counts, n, grads, global_step);
  WriteAll(*impl_, batch.keys(), batch.size(),
           OptimizeOp(impl_->plan, batch.keys(), batch.rows(), learning_rates, now, global_step));
  if (TouchedKeySet* touched = hooks_.touched()) touched->Insert(batch.keys(), batch.size(), this);
}

void EmbeddingTable::Reinitialize(const int64_t* keys, size_t n, uint32_t now, int32_t* status) {
  WriteAll(*impl_, keys, n, ReinitializeOp{impl_->plan, keys, now, status});
  if (TouchedKeySet* touched = hooks_.touched()) touched->Insert(keys, n, this);
}

void EmbeddingTable::PutRows(const int64_t* keys, size_t n, const float* rows, const uint32_t* timestamps) {
  if (impl_->config.skip_zero_embedding) {
    const NonZeroRows kept = WithoutZeros(keys, n, rows, static_cast<size_t>(dim_), timestamps);
    WriteAll(*impl_, kept.keys.data(), kept.keys.size(), PutOp{impl_->plan, kept.values.data(), kept.timestamps.data()});
    return SetToZeros(kept.dropped, 0);
  }
  WriteAll(*impl_, keys, n, PutOp{impl_->plan, rows, timestamps});
}

void EmbeddingTable::Clear(size_t expected_rows) {
  Freeze frozen(*this);
  const uint64_t capacity = std::max<uint64_t>(impl_->config.initial_capacity, expected_rows);
  impl_->Publish(new State{NewView(capacity), std::make_shared<RowStore>(impl_->plan.row_bytes())});
}

void EmbeddingTable::TrackChanges(bool) {}

EmbeddingTable::Freeze::Freeze(const EmbeddingTable& table) : table_(table) { table.impl_->FreezeWriters(); }
EmbeddingTable::Freeze::~Freeze() { table_.impl_->ThawWriters(); }

std::pair<size_t, size_t> ShardRange(size_t total, size_t shard, size_t shards) {
  const size_t each = total / shards, rest = total % shards;
  const size_t begin = shard * each + std::min(shard, rest);
  return {begin, begin + each + (shard < rest)};
}

bool EmbeddingTable::Freeze::Walk(size_t shard, size_t shards, size_t* offset, size_t limit,
                                  const std::function<bool(const Row&)>& visit) const {
  if (table_.plan().serving())
    throw Error(ErrorCode::kUsage, "table '" + table_.config().name +
                                       "' is for serving: its rows have lost what a checkpoint holds, so it is not saved");
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
