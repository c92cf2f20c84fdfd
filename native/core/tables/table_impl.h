// What stands behind EmbeddingTable: the current directory, the locks of rows, and who is inside.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "core/tables/expiry.h"
#include "core/tables/optimizer.h"
#include "core/tables/row_lock.h"
#include "core/tables/segment.h"
#include "core/tables/segment_capture.h"
#include "core/tables/table.h"

namespace monolith {

// Where a key stands.
struct Place {
  KeyGroup* group;
  int slot;
  RowId id;
};

struct EmbeddingTable::Impl {
  explicit Impl(const TableConfig& config);
  ~Impl();

  static constexpr unsigned kLanes = 16;  // threads spread over these to count themselves without contention
  struct alignas(64) Lane {
    std::atomic<uint32_t> writers{0};
    std::atomic<uint32_t> readers[2] = {{0}, {0}};  // by parity of the epoch they came in
  };

  const TableConfig config;
  const RowPlan plan;
  const RowLayout layout;
  const RowLocks locks;
  std::atomic<Directory*> directory;
  std::atomic<uint32_t> max_update_ts{0};

  // --- writers: counted, and held out while a segment grows or a snapshot begins
  std::atomic<bool> frozen{false};
  std::mutex freeze_mutex;
  Lane lanes[kLanes];

  // --- what writers report; changed while they are held out
  bool watched = false;  // any of the following
  std::atomic<bool> tracks_changes{false};
  std::shared_ptr<SnapshotLog> log;  // of the snapshot that is being read
  bool changes_lost = false;         // all rows count as changed
  std::mutex erased_mutex;
  std::vector<int64_t> erased;
  std::mutex snapshot_mutex;  // one snapshot at a time
  std::condition_variable snapshot_done;
  bool snapshot_taken = false;

  // --- memory that readers may still look at
  using Rows = std::shared_ptr<SegmentRows>;
  struct Retired {
    std::vector<Directory*> directories;
    std::vector<std::pair<Rows, RowId>> rows;
    bool empty() const { return directories.empty() && rows.empty(); }
    void Free();
  };
  std::atomic<uint32_t> epoch{0};
  std::mutex retire_mutex;
  Retired retired, waiting;  // `waiting` is freed when two changes of the epoch have been seen through
  int waiting_stage = 0;
  std::atomic<bool> has_retired{false};

  static unsigned ThisLane();
  void FreezeWriters();
  void ThawWriters();
  // With writers frozen: makes `next` current and frees the old one once nobody is left in it.
  void Publish(Directory* next);
  void Retire(std::vector<std::pair<Rows, RowId>> rows);
  void Reclaim();
  // With no writer section open in this thread: makes room in the segment of `hash`, unless somebody did meanwhile.
  void Grow(const Directory* seen, uint64_t hash);
  // With the insert lock of the segment held: the key is gone, its row is freed when nobody can be looking at it.
  void EraseRow(const Segment& segment, const Place& place, int64_t key, std::vector<std::pair<Rows, RowId>>* gone);
  // Copies the segment that holds `hash` without the gaps that erased keys left.
  void Compact(uint64_t hash);
  // With writers frozen: `by` takes the place of `segment`.
  void Replace(const Segment& segment, const std::vector<std::shared_ptr<Segment>>& by);
  // With writers frozen: keeps all that a snapshot still needs of a segment whose rows are going to be copied.
  void CaptureAll(const Segment& segment);

  // Reports of writers, where `watched`; with the lock of the row held.
  void BeforeWrite(const SegmentRows& rows, RowId id, int64_t key, const char* row, uint32_t timestamp) {
    if (rows.changed) rows.changed->Insert(id);
    if (rows.capture) rows.capture->BeforeWrite(id, key, row, timestamp);
  }
  // Before a new row can be found.
  void BeforeInsert(const SegmentRows& rows, RowId id) {
    if (rows.changed) rows.changed->Insert(id);
    if (rows.capture) rows.capture->Exclude(id);
  }

  class Frozen {
   public:
    explicit Frozen(Impl* impl) : impl_(impl) { impl->FreezeWriters(); }
    ~Frozen() { impl_->ThawWriters(); }

   private:
    Impl* impl_;
  };

  class ReadSection {
   public:
    explicit ReadSection(Impl& impl) : impl_(impl) {
      const uint32_t e = impl.epoch.load(std::memory_order_seq_cst);
      count_ = &impl.lanes[ThisLane()].readers[e & 1];
      count_->fetch_add(1, std::memory_order_seq_cst);
    }
    ~ReadSection() {
      count_->fetch_sub(1, std::memory_order_release);
      if (impl_.has_retired.load(std::memory_order_relaxed)) impl_.Reclaim();
    }
    const Directory& directory() const { return *impl_.directory.load(std::memory_order_seq_cst); }

   private:
    Impl& impl_;
    std::atomic<uint32_t>* count_;
  };

  // A writer reads too: what it found stays good while it is inside.
  class WriteSection {
   public:
    explicit WriteSection(Impl& impl) : count_(Enter(impl)), read_(impl) {}
    ~WriteSection() { count_.fetch_sub(1, std::memory_order_release); }
    const Directory& directory() const { return read_.directory(); }

   private:
    static std::atomic<uint32_t>& Enter(Impl& impl) {
      std::atomic<uint32_t>& count = impl.lanes[ThisLane()].writers;
      for (;;) {
        count.fetch_add(1, std::memory_order_seq_cst);
        if (!impl.frozen.load(std::memory_order_seq_cst)) return count;
        count.fetch_sub(1, std::memory_order_release);
        std::lock_guard<std::mutex> wait(impl.freeze_mutex);
      }
    }
    std::atomic<uint32_t>& count_;
    ReadSection read_;
  };
};

// Looks along the groups a key may stand in.
inline bool Probe(const Segment& segment, uint64_t hash, Place* place) {
  const uint32_t home = segment.Home(hash);
  for (unsigned moved = 0; moved < KeyGroup::kMoves; ++moved) {
    KeyGroup* g = segment.Group(segment.Moved(home, moved));
    const uint8_t m = g->meta.load(std::memory_order_acquire);
    if (const int slot = g->Find(hash, moved, m); slot >= 0) {
      *place = {g, slot, g->Row(slot)};
      return place->id != kNoRow;  // it may have left at this moment
    }
    if (!(m & KeyGroup::kOverflow)) return false;
  }
  return false;
}

}  // namespace monolith
