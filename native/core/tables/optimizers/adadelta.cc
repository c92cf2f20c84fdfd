#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

// State: averages of the squared gradients, and of the squared updates.
template <int kDim>
struct AdadeltaStep {
  static void Run(const SegmentPlan& p, float* __restrict w, float* __restrict state, const float* __restrict g, float lr,
                  int64_t) {
    const int n = kDim ? kDim : p.dim;
    float* __restrict accum = state;
    float* __restrict accum_update = state + n;
    const float decay = p.optimizer.weight_decay_factor, epsilon = p.optimizer.epsilon;
    const float keep = p.optimizer.averaging_ratio, take = 1 - keep;
    for (int i = 0; i < n; ++i) {
      const float q = g[i] + decay * w[i];
      const float a = keep * accum[i] + take * q * q;
      const float u = std::sqrt(accum_update[i] + epsilon) / std::sqrt(a + epsilon) * q;
      accum[i] = a;
      accum_update[i] = keep * accum_update[i] + take * u * u;
      w[i] -= lr * u;
    }
  }
};

}  // namespace

using C = OptimizerConfig;
const OptimizerType kAdadeltaType{"adadelta",
                                  6,
                                  6,
                                  {{3, &C::weight_decay_factor}, {4, &C::averaging_ratio}, {5, &C::epsilon}},
                                  0,
                                  {{1, StateField::kEachDim, 0, 0}, {2, StateField::kEachDim, 1, 0}},
                                  StepByDim<AdadeltaStep>};

}  // namespace monolith
