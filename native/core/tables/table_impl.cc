#include "core/tables/table_impl.h"

#include "core/tables/segment_growth.h"

namespace monolith {

EmbeddingTable::Impl::Impl(const TableConfig& c)
    : config(c),
      plan(c),
      layout(plan.row_bytes()),
      directory(NewDirectory(layout, c.initial_capacity)) {}

EmbeddingTable::Impl::~Impl() {
  retired.Free();
  waiting.Free();
  delete directory.load();
}

void EmbeddingTable::Impl::Retired::Free() {
  for (Directory* d : directories) delete d;
  directories.clear();
  for (const auto& [segment_rows, id] : rows) {
    segment_rows->Lock();
    segment_rows->Release(id);
    segment_rows->Unlock();
  }
  rows.clear();
}

unsigned EmbeddingTable::Impl::ThisLane() {
  static std::atomic<unsigned> next{0};
  thread_local const unsigned lane = next.fetch_add(1, std::memory_order_relaxed) % kLanes;
  return lane;
}

void EmbeddingTable::Impl::FreezeWriters() {
  freeze_mutex.lock();
  frozen.store(true, std::memory_order_seq_cst);
  for (Lane& lane : lanes)
    for (unsigned spins = 0; lane.writers.load(std::memory_order_seq_cst) != 0; ++spins) spins < 64 ? Pause() : YieldCpu();
}

void EmbeddingTable::Impl::ThawWriters() {
  frozen.store(false, std::memory_order_seq_cst);
  freeze_mutex.unlock();
}

void EmbeddingTable::Impl::Publish(Directory* next) {
  Directory* old = directory.exchange(next, std::memory_order_seq_cst);
  {
    std::lock_guard<std::mutex> lock(retire_mutex);
    retired.directories.push_back(old);
    has_retired.store(true, std::memory_order_relaxed);
  }
  Reclaim();
}

void EmbeddingTable::Impl::Retire(std::vector<std::pair<Rows, RowId>> rows) {
  if (rows.empty()) return;
  {
    std::lock_guard<std::mutex> lock(retire_mutex);
    retired.rows.insert(retired.rows.end(), rows.begin(), rows.end());
    has_retired.store(true, std::memory_order_relaxed);
  }
  Reclaim();
}

// Never blocks: what cannot be freed yet is freed by a later call. The epoch changes twice because a reader may have read
// its parity before a change and counted itself after it.
void EmbeddingTable::Impl::Reclaim() {
  std::unique_lock<std::mutex> lock(retire_mutex, std::try_to_lock);
  if (!lock.owns_lock()) return;
  for (;;) {
    if (waiting.empty()) {
      if (retired.empty()) {
        has_retired.store(false, std::memory_order_relaxed);
        return;
      }
      std::swap(waiting, retired);
      waiting_stage = 0;
      epoch.fetch_add(1, std::memory_order_seq_cst);
    }
    const unsigned left = (epoch.load(std::memory_order_seq_cst) - 1) & 1;
    for (Lane& lane : lanes)
      if (lane.readers[left].load(std::memory_order_seq_cst) != 0) return;
    if (waiting_stage++ == 0) {
      epoch.fetch_add(1, std::memory_order_seq_cst);
      continue;
    }
    waiting.Free();
  }
}

void EmbeddingTable::Impl::Replace(const Segment& segment, const std::vector<std::shared_ptr<Segment>>& by) {
  std::vector<std::shared_ptr<Segment>> segments;
  for (const auto& s : directory.load(std::memory_order_seq_cst)->segments()) {
    if (s.get() == &segment) segments.insert(segments.end(), by.begin(), by.end());
    else segments.push_back(s);
  }
  Publish(new Directory(std::move(segments)));
}

void EmbeddingTable::Impl::CaptureAll(const Segment& segment) {
  SegmentCapture* capture = segment.rows().capture.get();
  if (!capture) return;
  segment.ForEach([&](uint32_t group, int slot, RowId id) {
    char* row = segment.Row(id);
    RowLock& lock = locks.Of(row);
    const uint64_t held = lock.Lock(RowLock::Name(row));  // of the reader of the snapshot: there are no writers
    capture->BeforeWrite(id, KeyOfHash(segment.HashAt(group, slot)), row, *segment.Timestamp(id));
    lock.Unlock(held);
  });
}

void EmbeddingTable::Impl::Grow(const Directory* seen, uint64_t hash) {
  Frozen frozen_here(this);
  if (directory.load(std::memory_order_seq_cst) != seen) return;
  const Segment& segment = *seen->Of(hash);
  std::vector<std::shared_ptr<Segment>> by;
  {
    // Readers give rows back that were erased: they try again later.
    std::lock_guard<std::mutex> lock(retire_mutex);
    by = GrowSegment(segment, tracks_changes);
  }
  if (by[0]->shared_rows() != segment.shared_rows()) CaptureAll(segment);
  Replace(segment, by);
}

void EmbeddingTable::Impl::Compact(uint64_t hash) {
  Frozen frozen_here(this);
  const Segment& segment = *directory.load(std::memory_order_seq_cst)->Of(hash);
  CaptureAll(segment);
  Replace(segment, CopySegment(segment, tracks_changes));
}

}  // namespace monolith
