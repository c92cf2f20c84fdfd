// What a table asks before it inserts a key, and whom it tells of changes. Without either a write pays one branch a batch.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace monolith {

class OccurrenceGate;
class TouchedKeySet;

class TableHooks {
 public:
  const OccurrenceGate* gate() const { return gate_.load(std::memory_order_acquire); }
  TouchedKeySet* touched() const { return touched_.load(std::memory_order_acquire); }

  // Both may be set while the table is in use; nullptr takes them away. What was set before lives as long as the table.
  void SetGate(std::shared_ptr<const OccurrenceGate> gate);
  void SetTouched(std::shared_ptr<TouchedKeySet> touched);

 private:
  std::atomic<const OccurrenceGate*> gate_{nullptr};
  std::atomic<TouchedKeySet*> touched_{nullptr};
  std::mutex mutex_;
  std::vector<std::shared_ptr<const void>> kept_;
};

}  // namespace monolith
