// The arithmetic of a row: where its segments lie, how they start, what a lookup gives and how one optimizer step changes them
// (spec 30, 2 to 5).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "core/tables/table_config.h"

namespace monolith {

struct CompressorType;
struct OptimizerType;
struct SegmentPlan;
// One step of one segment. `state` is as the optimizer's file lays it out.
using StepFunction = void (*)(const SegmentPlan& plan, float* weights, float* state, const float* grad, float learning_rate,
                              int64_t global_step);

// One segment inside a row of floats: weights of all segments first, then the optimizer state of each. In a serving table
// there is no state, and a row is the compressed weights of each segment.
struct SegmentPlan {
  int dim;
  int weights;  // index of the first weight in the row
  int state;    // index of the first float of state
  int state_size;
  size_t compressed;  // first byte of the segment in a serving row
  InitializerConfig initializer;
  OptimizerConfig optimizer;
  CompressorConfig compressor;
  const OptimizerType* type;
  const CompressorType* codec;
  StepFunction step;
  // Of one_bit: one for all keys, changed by steps. It begins at init_scale, in a restored table too.
  std::shared_ptr<std::atomic<float>> scale;
};

// What the rows of one batch of steps have in common.
struct StepBatch {
  const float* learning_rates;  // one for each segment
  int64_t global_step;
  uint64_t random;  // where the random numbers of stochastic rounding begin; RowPlan::StartSteps
  float* scratch;   // dim floats, for gradients that are not those of the caller; nullptr when no segment has such
};

// A row is `row_bytes` bytes at any address a float may have (a training table) or any at all (a serving one).
class RowPlan {
 public:
  explicit RowPlan(const TableConfig& config);

  int dim() const { return dim_; }
  const std::vector<SegmentPlan>& segments() const { return segments_; }
  bool serving() const { return serving_; }
  size_t row_bytes() const { return row_bytes_; }
  // The front of a row, which is all that a lookup reads.
  size_t lookup_bytes() const { return lookup_bytes_; }
  // A lookup is a copy of these bytes.
  bool raw() const { return raw_; }
  // What a lookup gives: out[dim] from the lookup_bytes of a row.
  void Fill(const void* row, float* out) const {
    if (raw_) std::memcpy(out, row, lookup_bytes_);
    else FillEncoded(static_cast<const char*>(row), out);
  }

  // A new row, whose bytes are 0. A serving row has neither initial weights nor state: it starts as zeros.
  void InitWeights(int64_t key, void* row) const;
  void InitState(void* row) const;

  // Weights from values[dim]; optimizer state stays.
  void Assign(const float* values, void* row) const {
    if (!serving_) std::memcpy(row, values, lookup_bytes_);
    else Encode(values, static_cast<char*>(row));
  }
  void AssignAdd(const float* values, void* row) const;

  // A row as files have it: weights, then optimizer state; of a serving table the weights alone.
  int row_floats() const { return row_floats_; }
  void Put(const float* floats, void* row) const {
    if (!serving_) std::memcpy(row, floats, row_bytes_);
    else Encode(floats, static_cast<char*>(row));
  }
  void Get(const void* row, float* floats) const {
    if (!serving_) std::memcpy(floats, row, row_bytes_);
    else FillEncoded(static_cast<const char*>(row), floats);
  }

  // An optimizer or compressor counts steps by global_step, which must not be negative then.
  bool reads_global_step() const { return reads_global_step_; }
  // To be called once before the steps of a batch; lets one_bit follow the global step.
  StepBatch StartSteps(const float* learning_rates, uint32_t now, int64_t global_step, float* scratch) const;
  // Some segment changes gradients: a batch of steps needs scratch.
  bool changes_gradients() const { return changes_gradients_; }

  // One step of every segment of a training row; grad[dim] is left as it is.
  void Step(int64_t key, void* row, const float* grad, const StepBatch& batch) const {
    if (!plain_steps_) return StepOthers(key, static_cast<float*>(row), grad, batch);
    float* floats = static_cast<float*>(row);
    for (size_t s = 0; s < segments_.size(); ++s) {
      const SegmentPlan& p = segments_[s];
      p.step(p, floats + p.weights, floats + p.state, grad + p.weights, batch.learning_rates[s], batch.global_step);
    }
  }

 private:
  void FillEncoded(const char* row, float* out) const;
  void Encode(const float* values, char* row) const;
  void StepOthers(int64_t key, float* row, const float* grad, const StepBatch& batch) const;

  int dim_ = 0, row_floats_ = 0;
  size_t row_bytes_ = 0, lookup_bytes_ = 0;
  bool serving_, raw_ = true, plain_steps_ = true, changes_gradients_ = false, reads_global_step_ = false;
  uint64_t seed_;
  std::vector<SegmentPlan> segments_;
};

// Values of random_uniform: a function of seed, key and position alone, whatever the order of insertion or the threads.
void FillUniform(uint64_t seed, int64_t key, int first, int n, float minval, float maxval, float* out);

}  // namespace monolith
