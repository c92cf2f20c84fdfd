// The arithmetic of a row: where its segments lie, how they start and how one optimizer step changes them (spec 30, 3, 4).
#pragma once

#include <cstdint>
#include <vector>

#include "core/tables/table_config.h"

namespace monolith {

struct OptimizerType;
struct SegmentPlan;
// One step of one segment. `state` is as the optimizer's file lays it out.
using StepFunction = void (*)(const SegmentPlan& plan, float* weights, float* state, const float* grad, float learning_rate,
                              int64_t global_step);

// One segment inside a row of floats: weights of all segments first, then the optimizer state of each.
struct SegmentPlan {
  int dim;
  int weights;  // index of the first weight in the row
  int state;    // index of the first float of state
  int state_size;
  InitializerConfig initializer;
  OptimizerConfig optimizer;
  const OptimizerType* type;
  StepFunction step;
};

class RowPlan {
 public:
  explicit RowPlan(const TableConfig& config);

  int dim() const { return dim_; }
  int row_floats() const { return row_floats_; }
  const std::vector<SegmentPlan>& segments() const { return segments_; }

  void InitWeights(int64_t key, float* row) const;
  void InitState(float* row) const;

  // An optimizer counts steps by global_step, which must not be negative then.
  bool reads_global_step() const { return reads_global_step_; }

  // One step of every segment; grad[dim], one learning rate per segment.
  void Step(float* row, const float* grad, const float* learning_rates, int64_t global_step) const {
    for (size_t s = 0; s < segments_.size(); ++s) {
      const SegmentPlan& p = segments_[s];
      p.step(p, row + p.weights, row + p.state, grad + p.weights, learning_rates[s], global_step);
    }
  }

 private:
  int dim_ = 0, row_floats_ = 0;
  bool reads_global_step_ = false;
  uint64_t seed_;
  std::vector<SegmentPlan> segments_;
};

// Values of random_uniform: a function of seed, key and position alone, whatever the order of insertion or the threads.
void FillUniform(uint64_t seed, int64_t key, int first, int n, float minval, float maxval, float* out);

}  // namespace monolith
