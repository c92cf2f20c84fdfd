// What a snapshot still needs of a segment, while writers go on in it.
#pragma once

#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "core/tables/row_lock.h"
#include "core/tables/segment.h"
#include "core/tables/table.h"

namespace monolith {

// Rows as they were at the instant of a snapshot, kept by those who were about to change them.
class SnapshotLog {
 public:
  SnapshotLog(size_t row_bytes, size_t max_bytes) : row_bytes_(row_bytes), max_bytes_(max_bytes) {}

  void Append(int64_t key, uint32_t timestamp, const char* row);
  // Hands over all rows that are kept and forgets them.
  void Drain(const std::function<void(const EmbeddingTable::Row&)>& visit);
  // Waits a moment while there is more than the snapshot's reader keeps up with: memory is bounded, and writers go on slowly.
  void WaitForReader();
  bool full() const { return size_.load(std::memory_order_relaxed) > max_bytes_; }

 private:
  const size_t row_bytes_, max_bytes_;
  std::mutex mutex_;
  std::condition_variable drained_;
  std::string records_;
  std::atomic<size_t> size_{0};
};

class SegmentCapture {
 public:
  // `wanted`: the ids that the snapshot is to have; nullptr: all.
  SegmentCapture(std::shared_ptr<SnapshotLog> log, size_t ids, std::unique_ptr<IdSet> wanted)
      : log_(std::move(log)), wanted_(std::move(wanted)), done_(ids) {}

  // With the row's lock held: keeps the row as it is, when the snapshot has not had it.
  void BeforeWrite(RowId id, int64_t key, const char* row, uint32_t timestamp) {
    if (Take(id)) log_->Append(key, timestamp, row);
  }
  // A row that came after the instant.
  void Exclude(RowId id) { done_.Insert(id); }
  // With the row's lock held: true once for each row that the snapshot wants.
  bool Take(RowId id) { return (!wanted_ || wanted_->Has(id)) && done_.Insert(id); }

 private:
  std::shared_ptr<SnapshotLog> log_;
  std::unique_ptr<IdSet> wanted_;
  IdSet done_;
};

}  // namespace monolith
