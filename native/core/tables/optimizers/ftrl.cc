#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

// State: norm, zero.
template <int kDim>
struct FtrlStep {
  static void Run(const SegmentPlan& p, float* __restrict w, float* __restrict state, const float* __restrict g, float lr,
                  int64_t) {
    // A rate of 0 (the first step of a warm-up) would divide 0 by 0; no step is what it means.
    if (lr == 0) return;
    const int n = kDim ? kDim : p.dim;
    float* __restrict norm = state;
    float* __restrict zero = state + n;
    const float l1 = p.optimizer.l1, beta = p.optimizer.beta, l2lr = p.optimizer.l2 * lr;
    for (int i = 0; i < n; ++i) {
      const float old_root = std::sqrt(norm[i]);
      const float a = norm[i] + g[i] * g[i];
      const float root = std::sqrt(a);
      const float z = zero[i] + g[i] - (root - old_root) / lr * w[i];
      norm[i] = a;
      zero[i] = z;
      const float shrunk = lr * (std::copysign(l1, z) - z) / (root + beta + l2lr);
      w[i] = std::fabs(z) <= l1 ? 0.f : shrunk;
    }
  }
};

}  // namespace

using C = OptimizerConfig;
const OptimizerType kFtrlType{
    "ftrl",
    3,
    3,
    {{3, &C::beta}, {4, &C::initial_accumulator_value}, {5, &C::l1}, {6, &C::l2}},
    0,
    {{1, StateField::kEachDim, 1, 0}, {2, StateField::kEachDim, 0, 0, &C::initial_accumulator_value}},
    StepByDim<FtrlStep>};

}  // namespace monolith
