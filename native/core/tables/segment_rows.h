// The rows of one segment of a table: fixed-size records in chunks, named by 16-bit numbers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/tables/chunk_arena.h"
#include "core/tables/pause.h"

namespace monolith {

using RowId = uint32_t;  // 16 bits, and never kNoRow
inline constexpr RowId kNoRow = 0xffff;

// Where rows lie inside chunks; the same for all segments of a table. A chunk holds rows from its beginning and their
// timestamps at its end, last row first.
struct RowLayout {
  explicit RowLayout(size_t row_bytes);

  size_t stride;           // bytes from row to row
  uint32_t run;            // chunks that hold rows as one
  size_t run_bytes;
  uint32_t rows_per_run;
  int shift;               // a run has 2^shift ids, of which the first rows_per_run are in use
  uint32_t mask;
  uint32_t max_runs;       // of a segment: what it holds is what growth moves at once
  uint32_t max_rows() const { return max_runs * rows_per_run; }
  size_t max_ids() const { return size_t{max_runs} << shift; }

  char* Row(const std::atomic<uint32_t>* runs, RowId id) const {
    return ChunkArena::At(runs[id >> shift].load(std::memory_order_relaxed)) + size_t{id & mask} * stride;
  }
  uint32_t* Timestamp(const std::atomic<uint32_t>* runs, RowId id) const {
    char* end = ChunkArena::At(runs[id >> shift].load(std::memory_order_relaxed)) + run_bytes;
    return reinterpret_cast<uint32_t*>(end) - 1 - (id & mask);
  }
};

// One bit for each id of a segment, set by any thread.
class IdSet {
 public:
  explicit IdSet(size_t ids) : words_(new std::atomic<uint64_t>[(ids + 63) / 64]()) {}
  bool Has(RowId id) const { return words_[id / 64].load(std::memory_order_relaxed) >> id % 64 & 1; }
  // False when it was there.
  bool Insert(RowId id) {
    return !Has(id) && !(words_[id / 64].fetch_or(uint64_t{1} << id % 64, std::memory_order_relaxed) >> id % 64 & 1);
  }
  void Erase(RowId id) { words_[id / 64].fetch_and(~(uint64_t{1} << id % 64), std::memory_order_relaxed); }
  static size_t Bytes(size_t ids) { return (ids + 63) / 64 * sizeof(uint64_t); }

 private:
  std::unique_ptr<std::atomic<uint64_t>[]> words_;
};

class SegmentCapture;

class SegmentRows {
 public:
  explicit SegmentRows(const RowLayout& layout);
  ~SegmentRows();
  SegmentRows(const SegmentRows&) = delete;
  SegmentRows& operator=(const SegmentRows&) = delete;

  const RowLayout& layout() const { return layout_; }
  const std::atomic<uint32_t>* runs() const { return runs_; }
  char* Row(RowId id) const { return layout_.Row(runs_, id); }
  uint32_t* Timestamp(RowId id) const { return layout_.Timestamp(runs_, id); }

  // The rest up to `captures` needs the insert lock. Keys come and go in a segment one at a time; who only writes to rows that are
  // there does not take it.
  void Lock();
  void Unlock() { insert_lock_.store(false, std::memory_order_release); }
  // False when all ids are taken.
  bool Allocate(RowId* id);
  // The row may be given to another key: no thread looks at it any more.
  void Release(RowId id) { free_.push_back(static_cast<uint16_t>(id)); }
  bool full() const { return free_.empty() && end_id() >> layout_.shift == layout_.max_runs; }
  RowId end_id() const { return next_.load(std::memory_order_relaxed); }  // ids from here on were never given out

  std::atomic<uint32_t> count{0};  // keys
  // Rows that were written since the last snapshot, where a table keeps track of it.
  std::unique_ptr<IdSet> changed;
  void TrackChanges();
  // A snapshot that is not done with this segment. Changed only while writers are held out.
  std::shared_ptr<SegmentCapture> capture;

  // Without `changed`, which a snapshot may be taking meanwhile.
  size_t memory_bytes() const;
  // Where the next new row will lie; nullptr when that is not known.
  char* next_row() const { return next_row_.load(std::memory_order_relaxed); }


 private:
  size_t runs_bytes() const;
  void SetNextRow();

  const RowLayout& layout_;
  std::atomic<uint32_t>* runs_;  // for all ids there may be
  std::atomic<uint32_t> num_runs_{0};
  std::atomic<RowId> next_{0};
  std::atomic<char*> next_row_{nullptr};
  std::vector<uint16_t> free_;
  std::atomic<bool> insert_lock_{false};
};

}  // namespace monolith
