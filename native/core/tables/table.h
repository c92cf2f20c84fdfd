// Collisionless embedding table: one row per 64-bit key, weights and optimizer state inline.
//
// Thread-safety: every method may be called from any thread at any time. A row is read and written whole. Lookups wait
// for nothing but a write of the very same row; writers wait for each other where rows share a lock word or new keys a segment,
// and for a few milliseconds while a segment grows or a snapshot begins.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/tables/table_config.h"
#include "core/tables/table_hooks.h"

namespace monolith {

class BackgroundEviction;
class RowPlan;
struct SaveChain;

class EmbeddingTable {
 public:
  explicit EmbeddingTable(const TableConfig& config);
  ~EmbeddingTable();
  EmbeddingTable(const EmbeddingTable&) = delete;
  EmbeddingTable& operator=(const EmbeddingTable&) = delete;

  const TableConfig& config() const;
  int dim() const { return dim_; }
  size_t size() const;
  size_t memory_bytes() const;  // index and rows, as resident memory has them
  // The largest `now` any update had; what expiry on save is measured against.
  uint32_t max_update_ts() const;

  // Copies the weights of n keys into out[n][dim]; zeros for a key that is absent, which is not inserted.
  // Returns how many were found.
  size_t Lookup(const int64_t* keys, size_t n, float* out) const;

  // The same by a visitor: visit(i, weights) in order i = 0..n-1, weights == nullptr for an absent key. The pointer is to
  // a copy in the nearest cache, so that the row is whole, and good inside the call alone.
  template <class Visit>
  void VisitRows(const int64_t* keys, size_t n, Visit visit) const {
    constexpr size_t kFloats = 4096, kKeys = 256;
    alignas(64) float stack[kFloats];
    uint8_t found[kKeys];
    const size_t dim = static_cast<size_t>(dim_);
    std::vector<float> heap(dim > kFloats ? dim : 0);
    float* rows = dim > kFloats ? heap.data() : stack;
    const size_t step = std::min(kKeys, std::max<size_t>(1, kFloats / dim));
    for (size_t begin = 0; begin < n; begin += step) {
      const size_t m = std::min(step, n - begin);
      CopyRows(keys + begin, m, rows, found);
      for (size_t i = 0; i < m; ++i)
        visit(begin + i, found[i] ? static_cast<const float*>(rows + i * dim) : static_cast<const float*>(nullptr));
    }
  }

  bool Contains(int64_t key) const;
  // found[i]: whether keys[i] is there.
  void Contains(const int64_t* keys, size_t n, uint8_t* found) const;

  // Overwrites weights, inserting absent keys (with fresh optimizer state).
  void Assign(const int64_t* keys, size_t n, const float* values, uint32_t now);
  // Adds to the weights; an absent key starts from its initial value.
  void AssignAdd(const int64_t* keys, size_t n, const float* values, uint32_t now);
  // One optimizer step per key with grads[n][dim]; absent keys are inserted first. `learning_rates` has one entry per
  // segment. Keys should be distinct: duplicates are applied one after the other. `global_step` is for batch_softmax, which
  // refuses a negative one (Error(kUsage), nothing changed).
  void Optimize(const int64_t* keys, size_t n, const float* grads, const float* learning_rates, uint32_t now,
                int64_t global_step);
  // The same for distinct keys of which keys[i] stands for counts[i] occurrences: what the gate counts.
  void OptimizeDistinct(const int64_t* keys, const uint32_t* counts, size_t n, const float* grads, const float* learning_rates,
                        uint32_t now, int64_t global_step);
  // The same with the gradients of equal keys summed first, in order of appearance, so that each key gets one step.
  void OptimizeSummed(const int64_t* keys, size_t n, const float* grads, const float* learning_rates, uint32_t now,
                      int64_t global_step);
  // Weights and state as for a new key. status[i]: 0 when the key was inserted, 1 when it was there. `now` becomes the time of the
  // rows and does not raise max_update_ts(); no gate is asked.
  void Reinitialize(const int64_t* keys, size_t n, uint32_t now, int32_t* status);
  // Removes all rows. `expected_rows`: how many will be put in next, so that there is room for them.
  void Clear(size_t expected_rows = 0);

  // Asked by Assign, AssignAdd and Optimize for each key they would insert; what it drops is left out. nullptr: none.
  void SetGate(std::shared_ptr<const OccurrenceGate> gate);
  const OccurrenceGate* gate() const { return hooks_.gate(); }
  // Told the keys that Optimize and Reinitialize have changed, with this table's address. nullptr: none.
  void SetTouched(std::shared_ptr<TouchedKeySet> touched) { hooks_.SetTouched(std::move(touched)); }

  // Takes keys away; returns how many were there. Their memory serves keys to come.
  size_t Erase(const int64_t* keys, size_t n);
  // Takes away what has expired: now - timestamp >= the days its slot is kept. Gives memory back where more than half of the rows
  // have gone. Returns how many rows that were. `now` in seconds.
  size_t Evict(int64_t now);

  // A whole row as files have it: weights, then optimizer state, `row_floats` in all.
  const RowPlan& plan() const;
  struct Row {
    int64_t key;
    uint32_t timestamp;
    const float* floats;
  };
  bool GetRow(int64_t key, std::vector<float>* floats, uint32_t* timestamp) const;
  // Overwrites or inserts whole rows: rows[n][row_floats]. Does not touch max_update_ts().
  void PutRows(const int64_t* keys, size_t n, const float* rows, const uint32_t* timestamps);
  void RaiseMaxUpdateTs(uint32_t ts);

  // From now on snapshots of what changed alone can be taken.
  void TrackChanges(bool on);

  // Where a walk stands that is done with its shard; 0 is the beginning.
  static constexpr uint64_t kWalkDone = UINT64_MAX;
  // Gives rows of shard `shard` of `shards` from *position on, in the order of the hashes of their keys, and leaves it behind the last
  // of them. Ends after `limit` rows, which is 1 or more, but that the very last two of all hashes come together. True when the shard
  // is done. Nobody waits: a row that is there from the first call of a walk to the last comes once, whatever others do meanwhile, as it
  // is when it comes. Throws Error(kUsage) for a table for serving and for a position that is not in the shard.
  bool Walk(size_t shard, size_t shards, uint64_t* position, size_t limit, const std::function<void(const Row&)>& visit) const;

  struct Impl;

 private:
  friend class TableSnapshot;
  // Copies n rows' weights into out[n][dim] and says which were there; absent ones are left as they are.
  void CopyRows(const int64_t* keys, size_t n, float* out, uint8_t* found) const;

  int dim_;
  TableHooks hooks_;
  std::unique_ptr<Impl> impl_;
};

// The part of `total` buckets that shard `shard` of `shards` covers, as [first, second).
std::pair<size_t, size_t> ShardRange(size_t total, size_t shard, size_t shards);

// All tables of one model, in sorted order of their names.
class MultiTable {
 public:
  explicit MultiTable(std::vector<TableConfig> configs);
  ~MultiTable();
  size_t num_tables() const { return tables_.size(); }
  EmbeddingTable& table(size_t i) { return *tables_[i]; }
  const EmbeddingTable& table(size_t i) const { return *tables_[i]; }
  int IndexOf(const std::string& name) const;  // -1 when there is none
  void SetTouched(const std::shared_ptr<TouchedKeySet>& touched) {
    for (auto& t : tables_) t->SetTouched(touched);
  }

  // Checkpoint files of the spec (30, sections 13 and 14): <basename>-%05d-of-%05d and <basename>.meta-…, as of one instant.
  // Files appear by rename when all are written and synced, over an older set all or none.
  void Save(const std::string& basename, int shards /* -1: by size */) const;
  // The same, and from then on changes are remembered, so that deltas can follow.
  void SaveBase(const std::string& basename, int shards);
  // What changed since the last SaveBase or SaveDelta, as <basename>.delta.…; restored together with those before it. Where there
  // is none to continue it is a SaveBase; true when it was a delta. A restore ends the chain.
  bool SaveDelta(const std::string& basename, int shards);
  void EndChain();
  // Replaces the content of all tables; a table the files do not have is left empty, one that is not here is passed over.
  // After an error in the rows all tables are empty. More in checkpoint.h.
  void Restore(const std::string& basename);

 private:
  std::vector<std::unique_ptr<EmbeddingTable>> tables_;
  std::unique_ptr<SaveChain> chain_;
  std::unique_ptr<BackgroundEviction> eviction_;  // last: it uses the tables
};

// The table set of this process under `shared_name`, made from `configs` on first use: the Python extension and the
// TensorFlow ops meet here. Throws Error(kConfig) when it exists with other configs.
std::shared_ptr<MultiTable> OpenTables(const std::string& shared_name, const std::vector<TableConfig>& configs);
// nullptr when there is none.
std::shared_ptr<MultiTable> FindTables(const std::string& shared_name);
void CloseTables(const std::string& shared_name);

}  // namespace monolith
