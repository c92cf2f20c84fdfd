// Adam, and Amsgrad, which divides by the largest second moment so far.
#include <algorithm>

#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

// State: m, v, for Amsgrad vhat, then the powers of beta1 and beta2.
template <int kDim, bool kMaximum>
struct AdamFamilyStep {
  static void Run(const SegmentPlan& p, float* __restrict w, float* __restrict state, const float* __restrict g, float lr,
                  int64_t) {
    const int n = kDim ? kDim : p.dim;
    float* __restrict m = state;
    float* __restrict v = state + n;
    float* __restrict vhat = state + 2 * n;
    float* power = state + (kMaximum ? 3 : 2) * n;
    const OptimizerConfig& o = p.optimizer;
    const float rate = lr * std::sqrt(1 - power[1]) / (1 - power[0]);
    const float c1 = 1 - o.beta1, c2 = 1 - o.beta2;
    // Plain: the direction is m'. Nesterov: (1 - beta1) q + beta1 m'.
    const float from_q = o.use_nesterov ? c1 : 0.f, from_m = o.use_nesterov ? o.beta1 : 1.f;
    for (int i = 0; i < n; ++i) {
      const float q = g[i] + o.weight_decay_factor * w[i];
      m[i] += (q - m[i]) * c1;
      v[i] += (q * q - v[i]) * c2;
      float square = v[i];
      if (kMaximum) square = vhat[i] = std::max(vhat[i], square);
      w[i] -= rate * (from_q * q + from_m * m[i]) / (std::sqrt(square) + o.epsilon);
    }
    power[0] *= o.beta1;
    power[1] *= o.beta2;
  }
};

template <int kDim>
using AdamStep = AdamFamilyStep<kDim, false>;
template <int kDim>
using AmsgradStep = AdamFamilyStep<kDim, true>;

}  // namespace

using C = OptimizerConfig;
const OptimizerType kAdamType{"adam",
                              7,
                              7,
                              {{3, &C::beta1}, {4, &C::beta2}, {6, &C::weight_decay_factor}, {8, &C::epsilon}},
                              7,
                              {{1, StateField::kEachDim, 0, 0},
                               {2, StateField::kEachDim, 1, 0},
                               {3, StateField::kFloat, 2, 0, &C::beta1},
                               {4, StateField::kFloat, 2, 1, &C::beta2}},
                              StepByDim<AdamStep>};

const OptimizerType kAmsgradType{"amsgrad",
                                 8,
                                 8,
                                 {{3, &C::beta1}, {4, &C::beta2}, {6, &C::weight_decay_factor}, {8, &C::epsilon}},
                                 7,
                                 {{1, StateField::kEachDim, 0, 0},
                                  {2, StateField::kEachDim, 1, 0},
                                  {3, StateField::kEachDim, 2, 0},
                                  {4, StateField::kFloat, 3, 0, &C::beta1},
                                  {5, StateField::kFloat, 3, 1, &C::beta2}},
                                 StepByDim<AmsgradStep>};

}  // namespace monolith
