// A table as of one instant, read while others go on writing to it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/tables/table.h"

namespace monolith {

class TableSnapshot {
 public:
  // All tables as of the same instant. `changed_only`: rows written since the last committed snapshot; throws Error(kUsage) for a
  // table that does not track changes.
  static std::vector<std::unique_ptr<TableSnapshot>> Take(const std::vector<const EmbeddingTable*>& tables, bool changed_only);
  // What was not committed counts as changed again.
  virtual ~TableSnapshot() = default;

  // About how many rows Walk will give.
  virtual size_t size() const = 0;
  // Each shard once, from any thread: over all shards each row comes exactly once, in no order. An exception of `visit` passes
  // through; the snapshot is then good for nothing but to be thrown away.
  virtual void Walk(size_t shard, size_t shards, const std::function<void(const EmbeddingTable::Row&)>& visit) = 0;
  // With changed_only: keys that left the table since the last committed snapshot.
  virtual const std::vector<int64_t>& erased() const = 0;
  // What was taken is on disk.
  virtual void Commit() = 0;
};

}  // namespace monolith
