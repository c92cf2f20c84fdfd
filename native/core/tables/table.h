// Collisionless embedding table: one row per 64-bit key, weights and optimizer state inline.
//
// Thread-safety: every method may be called from any thread at any time. A row is read and written whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/tables/table_config.h"

namespace monolith {

class EmbeddingTable {
 public:
  explicit EmbeddingTable(const TableConfig& config);
  ~EmbeddingTable();

  const TableConfig& config() const;
  int dim() const;
  size_t size() const;
  size_t memory_bytes() const;

  // Copies the weights of n keys into out[n][dim]; zeros for a key that is absent, which is not inserted.
  // Returns how many were found.
  size_t Lookup(const int64_t* keys, size_t n, float* out) const;

  // The same without the copy: visit(i, weights) in order i = 0..n-1, weights == nullptr for an absent key. The pointer is
  // good inside the call alone.
  template <class Visit>
  void VisitRows(const int64_t* keys, size_t n, Visit visit) const;

  bool Contains(int64_t key) const;

  // Overwrites weights, inserting absent keys (with fresh optimizer state).
  void Assign(const int64_t* keys, size_t n, const float* values, uint32_t now);
  // Adds to the weights; an absent key starts from its initial value.
  void AssignAdd(const int64_t* keys, size_t n, const float* values, uint32_t now);
  // One optimizer step per key with grads[n][dim]; absent keys are inserted first. `learning_rates` has one entry per
  // segment. Keys should be distinct: duplicates are applied one after the other.
  void Optimize(const int64_t* keys, size_t n, const float* grads, const float* learning_rates, uint32_t now,
                int64_t global_step);
  void Clear();

  // ... save and restore: checkpoint.h
};

// All tables of one model, in sorted order of their names.
class MultiTable {
 public:
  explicit MultiTable(std::vector<TableConfig> configs);
  size_t num_tables() const;
  EmbeddingTable& table(size_t i);
  int IndexOf(const std::string& name) const;  // -1 when there is none

  // Checkpoint files of the spec (30, sections 13 and 14): <basename>-%05d-of-%05d and <basename>.meta-….
  void Save(const std::string& basename, int shards /* -1: by size */) const;
  void Restore(const std::string& basename);
};

// The table set of this process under `shared_name`, made from `configs` on first use: the Python extension and the
// TensorFlow ops meet here. Throws Error(kConfig) when it exists with other configs.
std::shared_ptr<MultiTable> OpenTables(const std::string& shared_name, const std::vector<TableConfig>& configs);
// nullptr when there is none.
std::shared_ptr<MultiTable> FindTables(const std::string& shared_name);
void CloseTables(const std::string& shared_name);

}  // namespace monolith
