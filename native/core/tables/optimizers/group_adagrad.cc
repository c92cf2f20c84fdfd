#include <algorithm>

#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

// State: one sum of squares for the row, so that l2 takes whole rows to 0.
template <int kDim>
struct GroupAdagradStep {
  static void Run(const SegmentPlan& p, float* __restrict w, float* __restrict state, const float* __restrict g, float lr,
                  int64_t) {
    // A rate of 0 would divide by it; no step is what it means.
    if (lr == 0) return;
    const int n = kDim ? kDim : p.dim;
    const float decay = p.optimizer.weight_decay_factor, l2 = p.optimizer.l2;
    float largest = 0;
    for (int i = 0; i < n; ++i) {
      const float q = g[i] + decay * w[i];
      largest = std::max(largest, q * q);
    }
    state[0] += largest;
    const float divisor = p.optimizer.beta + std::sqrt(state[0]);
    // No gradient yet and nothing to shrink by: the rate would be infinite, times 0.
    if (divisor == 0 && l2 == 0) return;
    const float rate = lr / divisor;
    float squares = 0;
    for (int i = 0; i < n; ++i) {
      const float t = g[i] + decay * w[i] - w[i] / rate;
      squares += t * t;
    }
    const float norm = std::sqrt(squares);
    if (norm < l2 || norm == 0) {
      std::fill_n(w, n, 0.f);
      return;
    }
    const float scale = rate * ((norm - l2) / norm);
    for (int i = 0; i < n; ++i) w[i] = -scale * (g[i] + decay * w[i] - w[i] / rate);
  }
};

}  // namespace

using C = OptimizerConfig;
const OptimizerType kGroupAdagradType{
    "group_adagrad",
    16,
    15,
    {{3, &C::beta}, {4, &C::initial_accumulator_value}, {5, &C::l2}, {6, &C::weight_decay_factor}},
    0,
    {{1, StateField::kFloat, 0, 0, &C::initial_accumulator_value}},
    StepByDim<GroupAdagradStep>};

}  // namespace monolith
