// Fids of features <-> rows of tables: pooled lookups, and the gradient of the pooling summed per fid. No TensorFlow in
// here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/tables/table.h"

namespace monolith {

enum class Combiner { kSum, kMean, kFirstN };

// Throws Error(kConfig) with the choices when the name is none of reduce_sum, reduce_mean, first_n.
Combiner ParseCombiner(const std::string& name);

// How one feature reads its table: the embedding is cut into slices of these widths, each an output of its own.
struct FeaturePlan {
  std::string feature;
  std::string table;
  std::vector<int> slice_dims;
  Combiner combiner = Combiner::kSum;
  int max_length = 0;  // first_n: how many fids of a row count

  int dim() const;
  // Floats in one row of the output of a slice.
  int64_t slice_width(size_t slice) const {
    return int64_t{slice_dims[slice]} * (combiner == Combiner::kFirstN ? max_length : 1);
  }
};

// Fids of one batch: those of row i are values[splits[i]] … values[splits[i+1]-1]. Of a row of a first_n feature only
// the fids that count are kept.
class FeatureIds {
 public:
  // Throws Error(kUsage) naming the feature when the splits do not fit the values.
  void Set(const FeaturePlan& plan, const int64_t* values, size_t num_values, const int64_t* splits, size_t num_splits);

  const int64_t* values() const { return values_; }
  const int64_t* splits() const { return splits_; }
  int64_t rows() const { return rows_; }
  int64_t size() const { return splits_[rows_]; }

 private:
  void CutRows(int64_t max_length);

  const int64_t* values_ = nullptr;
  const int64_t* splits_ = nullptr;
  int64_t rows_ = 0;
  std::vector<int64_t> cut_values_, cut_splits_;
};

// Writes rows [begin, end) of the outputs of one feature; outputs[slice] is [rows, slice_width]. An absent fid counts
// as zeros, or with `insert_missing` is inserted with its initial values first, unless the table's gate has it occur more than once.
void PoolRows(EmbeddingTable* table, const FeaturePlan& plan, const FeatureIds& ids, int64_t begin, int64_t end,
              float* const* outputs, bool insert_missing);

// Gradients of the outputs of one feature; a nullptr in `grads` stands for zeros.
struct FeatureGrads {
  const FeaturePlan* plan = nullptr;
  const FeatureIds* ids = nullptr;
  std::vector<const float*> grads;
};

// Sums of gradients by fid, in the order the fids come first. Memory is kept from one use to the next.
class GradientSums {
 public:
  // Sums the gradients of the fids that fall into partition `part` of `parts`, of all features of one table; with `count` also
  // how often each fid occurs.
  void Sum(const std::vector<FeatureGrads>& features, int dim, uint64_t part, uint64_t parts, bool count = false);

  size_t size() const { return size_; }
  const int64_t* keys() const { return keys_.data(); }
  const float* sums() const { return sums_.get(); }  // [size, dim]
  const uint32_t* counts() const { return count_ ? counts_.data() : nullptr; }

 private:
  struct Cell {
    int64_t key;
    uint32_t index;
    uint32_t epoch;  // the cell is taken when this is the epoch of the present use
  };
  void Start(size_t max_keys, int dim);
  uint32_t Find(int64_t key, uint64_t hash, bool* fresh);
  template <class Each>
  void ForEachId(const FeatureGrads& feature, uint64_t part, uint64_t parts, Each each);
  void Add(const FeatureGrads& feature, uint64_t part, uint64_t parts);

  std::vector<Cell> cells_;
  uint64_t mask_ = 0;
  uint32_t epoch_ = 0;
  int dim_ = 0;
  bool count_ = false;
  size_t size_ = 0;
  std::vector<int64_t> keys_;     // room for one more than there can be: what comes next is written before it is known to be new
  std::vector<uint32_t> counts_;
  std::unique_ptr<float[]> sums_;
  size_t sums_capacity_ = 0;
};

}  // namespace monolith
