// Which keys of a write a table's occurrence gate lets in (spec 30, 6.2). Keys that have a row pass unasked and uncounted; all are
// decided before any is inserted.
#pragma once

#include <vector>

#include "core/tables/table.h"

namespace monolith {

class OccurrenceGate;

// A batch of keys with one row of floats each, less what stays out. Points at what it was given where nothing does, so that
// those arrays must outlive it.
class AdmittedBatch {
 public:
  AdmittedBatch(const EmbeddingTable& table, const OccurrenceGate* gate, const int64_t* keys, const uint32_t* counts, size_t n,
                const float* rows, int64_t global_step)
      : keys_(keys), rows_(rows), size_(n) {
    if (__builtin_expect(gate != nullptr, 0)) Choose(table, *gate, counts, global_step);
  }
  AdmittedBatch(const AdmittedBatch&) = delete;
  AdmittedBatch& operator=(const AdmittedBatch&) = delete;

  const int64_t* keys() const { return keys_; }
  const float* rows() const { return rows_; }
  size_t size() const { return size_; }

 private:
  void Choose(const EmbeddingTable& table, const OccurrenceGate& gate, const uint32_t* counts, int64_t global_step);

  const int64_t* keys_;
  const float* rows_;
  size_t size_;
  std::vector<int64_t> kept_keys_;
  std::vector<float> kept_rows_;
};

// Gradients of equal keys summed in float32 in the order of appearance; keys in the order they appear first.
class DistinctGradients {
 public:
  DistinctGradients(const int64_t* keys, size_t n, const float* grads, size_t dim);

  size_t size() const { return keys_.size(); }
  const int64_t* keys() const { return keys_.data(); }
  const uint32_t* counts() const { return counts_.data(); }
  const float* sums() const { return sums_.data(); }

 private:
  std::vector<int64_t> keys_;
  std::vector<uint32_t> counts_;
  std::vector<float> sums_;
};

}  // namespace monolith
