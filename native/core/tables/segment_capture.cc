#include "core/tables/segment_capture.h"

#include <chrono>

namespace monolith {

void SnapshotLog::Append(int64_t key, uint32_t timestamp, const char* row) {
  std::lock_guard<std::mutex> lock(mutex_);
  records_.append(reinterpret_cast<const char*>(&key), sizeof key);
  records_.append(reinterpret_cast<const char*>(&timestamp), sizeof timestamp);
  records_.append(row, row_bytes_);
  size_.store(records_.size(), std::memory_order_relaxed);
}

void SnapshotLog::Drain(const std::function<void(const EmbeddingTable::Row&)>& visit) {
  std::string records;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    records.swap(records_);
    size_.store(0, std::memory_order_relaxed);
  }
  drained_.notify_all();
  std::string aligned(row_bytes_, '\0');
  for (const char* p = records.data(); p != records.data() + records.size();) {
    EmbeddingTable::Row row;
    std::memcpy(&row.key, p, sizeof row.key);
    std::memcpy(&row.timestamp, p + sizeof row.key, sizeof row.timestamp);
    p += sizeof row.key + sizeof row.timestamp;
    std::memcpy(aligned.data(), p, row_bytes_);
    row.floats = reinterpret_cast<const float*>(aligned.data());
    visit(row);
    p += row_bytes_;
  }
}

void SnapshotLog::WaitForReader() {
  std::unique_lock<std::mutex> lock(mutex_);
  drained_.wait_for(lock, std::chrono::milliseconds(100), [&] { return records_.size() <= max_bytes_; });
}

}  // namespace monolith
