// The folder a pool is kept in, crash-safe: however a run ends, the folder holds the pool of its last save, whole.
//
// Files are written under their name with `_tmp`, synced and renamed. Of several shards, the renames begin once all are
// synced and a journal says so; after a crash in between the next run does the rest. Journal and lock are one file,
// `.item_pool_<index>_<workers>.lock`: one process at a time keeps a worker's pool.
#pragma once

#include <string>
#include <vector>

#include "core/operators/item_pool.h"
#include "core/operators/pool_files.h"

namespace monolith {

class PoolFolder {
 public:
  // Makes the folder, takes the lock, finishes what a crash interrupted. Throws Error: kCannotCreate, kTryAgain when
  // another run holds the lock, kUsage for a place that cannot be.
  explicit PoolFolder(PoolPlace place);
  ~PoolFolder();
  PoolFolder(const PoolFolder&) = delete;
  PoolFolder& operator=(const PoolFolder&) = delete;

  // Adds what was saved, if anything was, to the pool; returns the names of the files read. Throws Error: kBadData for
  // a damaged file, kUsage when it was saved in more shards.
  std::vector<std::string> Restore(ItemPool* pool) const;

  // Throws Error(kCannotCreate, kIo); the saved pool is then as it was.
  void Save(const ItemPool& pool);

 private:
  std::string PathOf(uint32_t shard, uint64_t step) const;
  void FinishRenames();
  void Rename(uint64_t step, uint32_t shards, bool again);
  void WriteJournal(const std::string& text);
  void SyncFolder() const;

  const PoolPlace place_;
  std::string lock_path_;
  int lock_ = -1;
};

}  // namespace monolith
