// What the write operations of a table do to one row. Each has Existing(i, row), Fresh(i, key, row) for a row whose bytes are
// all 0, and Timestamp(i).
#pragma once

#include <cstring>

#include "core/tables/optimizer.h"

namespace monolith {

struct AssignOp {
  const RowPlan& plan;
  const float* values;
  uint32_t now;
  uint32_t Timestamp(size_t) const { return now; }
  void Existing(size_t i, float* row) const { std::memcpy(row, values + i * plan.dim(), plan.dim() * sizeof(float)); }
  void Fresh(size_t i, int64_t, float* row) const {
    Existing(i, row);
    plan.InitState(row);
  }
};

struct AssignAddOp {
  const RowPlan& plan;
  const float* values;
  uint32_t now;
  uint32_t Timestamp(size_t) const { return now; }
  void Existing(size_t i, float* row) const {
    const float* v = values + i * plan.dim();
    for (int d = 0; d < plan.dim(); ++d) row[d] += v[d];
  }
  void Fresh(size_t i, int64_t key, float* row) const {
    plan.InitWeights(key, row);
    plan.InitState(row);
    Existing(i, row);
  }
};

struct OptimizeOp {
  const RowPlan& plan;
  const float* grads;
  const float* learning_rates;
  uint32_t now;
  int64_t global_step;
  uint32_t Timestamp(size_t) const { return now; }
  void Existing(size_t i, float* row) const { plan.Step(row, grads + i * plan.dim(), learning_rates, global_step); }
  void Fresh(size_t i, int64_t key, float* row) const {
    plan.InitWeights(key, row);
    plan.InitState(row);
    Existing(i, row);
  }
};

struct PutOp {
  const RowPlan& plan;
  const float* rows;
  const uint32_t* timestamps;
  uint32_t Timestamp(size_t i) const { return timestamps[i]; }
  void Existing(size_t i, float* row) const { std::memcpy(row, rows + i * plan.row_floats(), plan.row_floats() * sizeof(float)); }
  void Fresh(size_t i, int64_t, float* row) const { Existing(i, row); }
};

}  // namespace monolith
