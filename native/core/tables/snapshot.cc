#include "core/tables/snapshot.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/base/error.h"
#include "core/tables/encoded_rows.h"
#include "core/tables/segment_capture.h"
#include "core/tables/table_impl.h"

namespace monolith {

using Impl = EmbeddingTable::Impl;

class TableSnapshot::Live : public TableSnapshot {
 public:
  Live(Impl* impl, bool changed_only) : impl_(*impl), changed_only_(changed_only) {}
  ~Live() override { Release(); }

  size_t size() const override { return size_; }
  const std::vector<int64_t>& erased() const override { return erased_; }
  void Commit() override { committed_ = true; }
  void Walk(size_t shard, size_t shards, const std::function<void(const EmbeddingTable::Row&)>& visit) override;

  // Waits until no other snapshot of the table is there, and gets memory ready.
  void Prepare();
  // With writers held out: this is the instant.
  void Take();

 private:
  struct Part {
    std::shared_ptr<Segment> segment;
    std::shared_ptr<SegmentCapture> capture;
    size_t first;  // number of its first id, counted over all parts
    RowId ids;
  };
  void WalkPart(const Part& part, RowId begin, RowId end, const std::function<void(const EmbeddingTable::Row&)>& visit);
  void Release();

  Impl& impl_;
  const bool changed_only_;
  bool prepared_ = false, taken_ = false, committed_ = false;
  std::shared_ptr<SnapshotLog> log_;
  std::vector<std::unique_ptr<IdSet>> spare_;  // made before writers are held out
  std::vector<Part> parts_;
  size_t size_ = 0, ids_ = 0;
  std::vector<int64_t> erased_;
  std::atomic<size_t> walked_{0};
};

void TableSnapshot::Live::Prepare() {
  std::unique_lock<std::mutex> lock(impl_.snapshot_mutex);
  impl_.snapshot_done.wait(lock, [&] { return !impl_.snapshot_taken; });
  impl_.snapshot_taken = prepared_ = true;
  const size_t row_bytes = impl_.layout.stride;
  Impl::ReadSection section(impl_);
  const auto& segments = section.directory().segments();
  size_t memory = 0;
  for (const auto& s : segments) {
    memory += s->rows().memory_bytes();
    if (impl_.tracks_changes) spare_.push_back(std::make_unique<IdSet>(impl_.layout.max_ids()));
  }
  log_ = std::make_shared<SnapshotLog>(row_bytes, std::max<size_t>(size_t{256} << 20, memory / 4));
}

void TableSnapshot::Live::Take() {
  const bool all = !changed_only_ || impl_.changes_lost;
  const size_t ids = impl_.layout.max_ids();
  for (const auto& s : impl_.directory.load()->segments()) {
    SegmentRows& rows = s->rows();
    std::unique_ptr<IdSet> wanted;
    if (impl_.tracks_changes) {
      if (!all) wanted = std::move(rows.changed);
      if (spare_.empty()) rows.TrackChanges();
      else rows.changed = std::move(spare_.back()), spare_.pop_back();
    }
    rows.capture = std::make_shared<SegmentCapture>(log_, ids, std::move(wanted));
    parts_.push_back({s, rows.capture, ids_, rows.end_id()});
    ids_ += rows.end_id();
    size_ += rows.count.load(std::memory_order_relaxed);
  }
  {
    std::lock_guard<std::mutex> guard(impl_.erased_mutex);
    erased_.swap(impl_.erased);
  }
  impl_.changes_lost = false;
  impl_.log = log_;
  impl_.watched = taken_ = true;
}

void TableSnapshot::Live::Walk(size_t shard, size_t shards, const std::function<void(const EmbeddingTable::Row&)>& visit) {
  const auto [begin, end] = ShardRange(ids_, shard, shards);
  for (const Part& part : parts_) {
    const size_t from = std::max(begin, part.first), to = std::min(end, part.first + part.ids);
    if (from >= to) continue;
    WalkPart(part, static_cast<RowId>(from - part.first), static_cast<RowId>(to - part.first), visit);
    log_->Drain(visit);
  }
  // When all parts have been walked nobody adds to the log any more.
  if (walked_.fetch_add(1) + 1 == shards) log_->Drain(visit);
}

// In the order of ids, which is that of the memory.
void TableSnapshot::Live::WalkPart(const Part& part, RowId begin, RowId end,
                                   const std::function<void(const EmbeddingTable::Row&)>& visit) {
  const Segment& segment = *part.segment;
  std::vector<int64_t> keys(impl_.layout.max_ids());
  IdSet there(keys.size());
  segment.ForEach([&](uint32_t group, int slot, RowId id) {
    keys[id] = KeyOfHash(segment.HashAt(group, slot));
    there.Insert(id);
  });
  std::vector<float> copy((impl_.layout.stride + sizeof(float) - 1) / sizeof(float));
  for (RowId id = begin; id < end; ++id) {
    if (!there.Has(id)) continue;
    char* row = segment.Row(id);
    RowLock& lock = impl_.locks.Of(row);
    // The lock is taken for rows that were kept in the log, too: who keeps one may be at it now.
    const uint64_t held = lock.Lock(RowLock::Name(row));
    const bool mine = part.capture->Take(id);
    uint32_t timestamp = 0;
    if (mine) {
      std::memcpy(copy.data(), row, impl_.layout.stride);
      timestamp = *segment.Timestamp(id);
    }
    lock.Unlock(held);
    if (mine) visit({keys[id], timestamp, copy.data()});
  }
}

void TableSnapshot::Live::Release() {
  if (taken_) {
    Impl::Frozen frozen(&impl_);
    for (const Part& p : parts_) p.segment->rows().capture.reset();
    impl_.log.reset();
    impl_.watched = impl_.tracks_changes;
    if (!committed_ && impl_.tracks_changes) {
      impl_.changes_lost = true;
      std::lock_guard<std::mutex> guard(impl_.erased_mutex);
      impl_.erased.insert(impl_.erased.begin(), erased_.begin(), erased_.end());
    }
  }
  if (!prepared_) return;
  {
    std::lock_guard<std::mutex> lock(impl_.snapshot_mutex);
    impl_.snapshot_taken = false;
  }
  impl_.snapshot_done.notify_all();
}

std::vector<std::unique_ptr<TableSnapshot>> TableSnapshot::Take(const std::vector<const EmbeddingTable*>& tables, bool changed_only) {
  // In one order for all threads, so that two of them cannot wait for each other.
  std::vector<std::pair<Impl*, Live*>> order;
  std::vector<std::unique_ptr<TableSnapshot>> all;
  for (const EmbeddingTable* t : tables) {
    if (t->plan().serving()) throw ServingNotSaved(t->config().name);
    if (changed_only && !t->impl_->tracks_changes)
      throw Error(ErrorCode::kUsage, "table '" + t->config().name + "' does not track what changes: an incremental snapshot needs that");
    all.push_back(std::make_unique<Live>(t->impl_.get(), changed_only));
    order.emplace_back(t->impl_.get(), static_cast<Live*>(all.back().get()));
  }
  std::sort(order.begin(), order.end());
  for (auto& [impl, snapshot] : order) snapshot->Prepare();
  for (auto& [impl, snapshot] : order) impl->FreezeWriters();
  for (auto& [impl, snapshot] : order) snapshot->Take();
  for (auto& [impl, snapshot] : order) impl->ThawWriters();
  return all;
}

void EmbeddingTable::TrackChanges(bool on) {
  Impl::Frozen frozen(impl_.get());
  if (impl_->tracks_changes == on) return;
  impl_->tracks_changes = impl_->changes_lost = on;
  impl_->watched = on || impl_->log;
  impl_->erased.clear();
  for (const auto& s : impl_->directory.load()->segments()) {
    if (on) s->rows().TrackChanges();
    else s->rows().changed.reset();
  }
}

}  // namespace monolith
