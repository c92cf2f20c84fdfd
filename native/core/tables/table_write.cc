// What changes rows that are there, and what inserts new ones.
#include <algorithm>
#include <cstring>
#include <string>

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

// Keys in one section: the longest that growth and snapshots wait for writers.
constexpr size_t kSectionKeys = 4096;

template <class Op>
inline void WriteExisting(Impl& impl, const Segment& segment, RowId id, char* row, size_t i, int64_t key, Op& op) {
  RowLock& lock = impl.locks.Of(row);
  uint32_t* ts = segment.Timestamp(id);
  const uint64_t held = lock.Lock(RowLock::Name(row));
  if (__builtin_expect(impl.watched, 0)) impl.BeforeWrite(segment.rows(), id, key, row, *ts);
  op.Existing(i, row);
  __atomic_store_n(ts, op.Timestamp(i), __ATOMIC_RELAXED);  // eviction looks at it without the lock
  lock.Unlock(held);
}

// The right to insert keys into a segment and to take them away.
class InsertLock {
 public:
  explicit InsertLock(SegmentRows& rows) : rows_(rows) { rows.Lock(); }
  ~InsertLock() { rows_.Unlock(); }

 private:
  SegmentRows& rows_;
};

// Inserts the key, or finds that another thread or an earlier key of the batch did. False when the segment must grow first.
template <class Op>
bool WriteAbsent(Impl& impl, Segment* segment, uint64_t hash, size_t i, int64_t key, Op& op) {
  SegmentRows& rows = segment->rows();
  Place place;
  {
    InsertLock lock(rows);
    if (!Probe(*segment, hash, &place)) {
      RowId id;
      if (segment->crowded() || !rows.Allocate(&id)) return false;
      char* row = segment->Row(id);
      std::memset(row, 0, impl.layout.stride);
      op.Fresh(i, key, row);
      __atomic_store_n(segment->Timestamp(id), op.Timestamp(i), __ATOMIC_RELAXED);
      if (__builtin_expect(impl.watched, 0)) impl.BeforeInsert(rows, id);
      if (!segment->Insert(hash, id)) {
        rows.Release(id);
        return false;
      }
      rows.count.store(rows.count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      if (const char* next = rows.next_row())
        for (size_t b = 0; b < impl.layout.stride; b += 64) __builtin_prefetch(next + b, 1);
      return true;
    }
  }
  WriteExisting(impl, *segment, place.id, segment->Row(place.id), i, key, op);
  return true;
}

template <class Op>
void WriteAll(Impl& impl, const int64_t* keys, size_t n, Op op) {
  for (size_t begin = 0; begin < n;) {
    const size_t end = std::min(n, begin + kSectionKeys);
    std::shared_ptr<SnapshotLog> full;
    const Directory* seen;
    {
      Impl::WriteSection section(impl);
      seen = &section.directory();
      Pipeline pipeline(*seen, impl.layout, impl.layout.stride);
      begin = pipeline.Run<true, Pipeline::kWriteBlock>(keys, begin, end, [&](size_t i, const Pending& p) {
        if (!p.row) return WriteAbsent(impl, p.segment, p.hash, i, keys[i], op);
        WriteExisting(impl, *p.segment, p.id, p.row, i, keys[i], op);
        return true;
      });
      if (impl.watched && impl.log && impl.log->full()) full = impl.log;
    }
    if (full) full->WaitForReader();
    if (begin < end) impl.Grow(seen, HashKey(keys[begin]));
  }
}

}  // namespace

void EmbeddingTable::Assign(const int64_t* keys, size_t n, const float* values, uint32_t now) {
  RaiseMaxUpdateTs(now);
  const AdmittedBatch batch(*this, gate(), keys, nullptr, n, values, 0);
  if (impl_->config.skip_zero_embedding) {
    const NonZeroRows rows = WithoutZeros(batch.keys(), batch.size(), batch.rows(), static_cast<size_t>(dim_), nullptr);
    WriteAll(*impl_, rows.keys.data(), rows.keys.size(), AssignOp{impl_->plan, rows.values.data(), now});
    Erase(rows.dropped.data(), rows.dropped.size());
    return;
  }
  WriteAll(*impl_, batch.keys(), batch.size(), AssignOp{impl_->plan, batch.rows(), now});
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
    Erase(kept.dropped.data(), kept.dropped.size());
    return;
  }
  WriteAll(*impl_, keys, n, PutOp{impl_->plan, rows, timestamps});
}

size_t EmbeddingTable::Erase(const int64_t* keys, size_t n) {
  size_t erased = 0;
  for (size_t begin = 0; begin < n; begin += kSectionKeys) {
    std::vector<std::pair<Impl::Rows, RowId>> rows;
    Impl::WriteSection section(*impl_);
    const Directory& d = section.directory();
    for (size_t i = begin; i < std::min(n, begin + kSectionKeys); ++i) {
      const uint64_t hash = HashKey(keys[i]);
      Segment* segment = d.Of(hash);
      InsertLock lock(segment->rows());
      Place place;
      if (!Probe(*segment, hash, &place)) continue;
      impl_->EraseRow(*segment, place, keys[i], &rows);
      ++erased;
    }
    impl_->Retire(std::move(rows));
  }
  return erased;
}

// Segment by segment: a writer waits for nothing but the part that its key is in.
size_t EmbeddingTable::Evict(int64_t now) {
  const Expiry expiry(impl_->config);
  std::vector<uint64_t> sparse;
  size_t evicted = 0;
  for (uint64_t at = 0;;) {
    std::vector<std::pair<Impl::Rows, RowId>> rows;
    Impl::WriteSection section(*impl_);
    const Segment& segment = *section.directory().Of(at);
    SegmentRows& all = segment.rows();
    {
      InsertLock lock(all);
      segment.ForEach([&](uint32_t group, int slot, RowId id) {
        const int64_t key = KeyOfHash(segment.HashAt(group, slot));
        const uint32_t ts = __atomic_load_n(segment.Timestamp(id), __ATOMIC_RELAXED);
        if (expiry.Expired(key, ts, now)) impl_->EraseRow(segment, {segment.Group(group), slot, id}, key, &rows);
      });
    }
    evicted += rows.size();
    if (!rows.empty() && all.end_id() > impl_->layout.rows_per_run && all.count * 2 < all.end_id()) sparse.push_back(at);
    impl_->Retire(std::move(rows));
    if (segment.depth() == 0) break;
    at += uint64_t{1} << (64 - segment.depth());
    if (at == 0) break;
  }
  for (const uint64_t hash : sparse) impl_->Compact(hash);
  return evicted;
}

void EmbeddingTable::Impl::EraseRow(const Segment& segment, const Place& place, int64_t key,
                                    std::vector<std::pair<Rows, RowId>>* gone) {
  if (__builtin_expect(watched, 0)) {
    const char* row = segment.Row(place.id);
    RowLock& lock = locks.Of(row);
    const uint64_t held = lock.Lock(RowLock::Name(row));
    BeforeWrite(segment.rows(), place.id, key, row, *segment.Timestamp(place.id));
    lock.Unlock(held);
    if (tracks_changes) {
      std::lock_guard<std::mutex> guard(erased_mutex);
      erased.push_back(key);
    }
  }
  place.group->row[place.slot].store(kNoRow, std::memory_order_relaxed);
  SegmentRows& rows = segment.rows();
  rows.count.store(rows.count.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  gone->emplace_back(segment.shared_rows(), place.id);
}

}  // namespace monolith
