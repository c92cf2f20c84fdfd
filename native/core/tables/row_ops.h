// What the write operations of a table do to one row. Each has Existing(i, row), Fresh(i, key, row) for a row whose bytes are
// all 0, and Timestamp(i).
#pragma once

#include <vector>

#include "core/tables/optimizer.h"

namespace monolith {

struct AssignOp {
  const RowPlan& plan;
  const float* values;
  uint32_t now;
  uint32_t Timestamp(size_t) const { return now; }
  void Existing(size_t i, void* row) const { plan.Assign(values + i * plan.dim(), row); }
  void Fresh(size_t i, int64_t, void* row) const {
    Existing(i, row);
    plan.InitState(row);
  }
};

struct AssignAddOp {
  const RowPlan& plan;
  const float* values;
  uint32_t now;
  uint32_t Timestamp(size_t) const { return now; }
  void Existing(size_t i, void* row) const { plan.AssignAdd(values + i * plan.dim(), row); }
  void Fresh(size_t i, int64_t key, void* row) const {
    plan.InitWeights(key, row);
    plan.InitState(row);
    Existing(i, row);
  }
};

// Of a training table.
class OptimizeOp {
 public:
  OptimizeOp(const RowPlan& plan, const int64_t* keys, const float* grads, const float* learning_rates, uint32_t now,
             int64_t global_step)
      : plan_(plan),
        keys_(keys),
        grads_(grads),
        now_(now),
        scratch_(plan.changes_gradients() ? static_cast<size_t>(plan.dim()) : 0),
        batch_(plan.StartSteps(learning_rates, now, global_step, scratch_.data())) {}
  OptimizeOp(const OptimizeOp&) = delete;
  OptimizeOp& operator=(const OptimizeOp&) = delete;

  uint32_t Timestamp(size_t) const { return now_; }
  void Existing(size_t i, void* row) const { plan_.Step(keys_[i], row, grads_ + i * plan_.dim(), batch_); }
  void Fresh(size_t i, int64_t key, void* row) const {
    plan_.InitWeights(key, row);
    plan_.InitState(row);
    Existing(i, row);
  }

 private:
  const RowPlan& plan_;
  const int64_t* keys_;
  const float* grads_;
  uint32_t now_;
  std::vector<float> scratch_;
  StepBatch batch_;
};

struct PutOp {
  const RowPlan& plan;
  const float* rows;
  const uint32_t* timestamps;
  uint32_t Timestamp(size_t i) const { return timestamps[i]; }
  void Existing(size_t i, void* row) const { plan.Put(rows + i * plan.row_floats(), row); }
  void Fresh(size_t i, int64_t, void* row) const { Existing(i, row); }
};

}  // namespace monolith
