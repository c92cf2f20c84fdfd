#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

template <int kDim>
struct AdagradStep {
  static void Run(const SegmentPlan& p, float* __restrict w, float* __restrict norm, const float* __restrict g, float lr,
                  int64_t) {
    const int n = kDim ? kDim : p.dim;
    const float decay = p.optimizer.weight_decay_factor;
    for (int i = 0; i < n; ++i) {
      const float q = g[i] + decay * w[i];
      const float a = norm[i] + q * q;
      norm[i] = a;
      w[i] -= lr / std::sqrt(a) * q;
    }
  }
};

}  // namespace

using C = OptimizerConfig;
const OptimizerType kAdagradType{"adagrad",
                                 1,
                                 1,
                                 {{3, &C::initial_accumulator_value}, {5, &C::weight_decay_factor}},
                                 0,
                                 {{1, StateField::kEachDim, 0, 0, &C::initial_accumulator_value}},
                                 StepByDim<AdagradStep>};

}  // namespace monolith
