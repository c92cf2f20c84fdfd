#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

template <int kDim>
struct MomentumStep {
  static void Run(const SegmentPlan& p, float* __restrict w, float* __restrict moment, const float* __restrict g, float lr,
                  int64_t) {
    const int n = kDim ? kDim : p.dim;
    const float decay = p.optimizer.weight_decay_factor, mu = p.optimizer.momentum;
    // Plain: w' = w + n'. Nesterov: w' = w - mu n + (1 + mu) n'.
    const float from_old = p.optimizer.use_nesterov ? mu : 0.f, from_new = p.optimizer.use_nesterov ? 1 + mu : 1.f;
    for (int i = 0; i < n; ++i) {
      const float old = moment[i];
      const float next = mu * old - lr * (g[i] + decay * w[i]);
      moment[i] = next;
      w[i] += from_new * next - from_old * old;
    }
  }
};

}  // namespace

using C = OptimizerConfig;
const OptimizerType kMomentumType{"momentum",
                                  9,
                                  9,
                                  {{3, &C::weight_decay_factor}, {5, &C::momentum}},
                                  4,
                                  {{1, StateField::kEachDim, 0, 0}},
                                  StepByDim<MomentumStep>};

}  // namespace monolith
