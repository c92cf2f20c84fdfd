// RMSProp in its two versions: the first averages the squares, the second adds them in full.
#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

// Products are double, the root and the quotient of rate and root float, as the contract has it.
template <int kDim, bool kAverage>
struct RmspropFamilyStep {
  static void Run(const SegmentPlan& p, float* __restrict w, float* __restrict norm, const float* __restrict g, float lr,
                  int64_t) {
    const int n = kDim ? kDim : p.dim;
    const double decay = p.optimizer.weight_decay_factor, keep = p.optimizer.momentum, take = kAverage ? 1 - keep : 1;
    for (int i = 0; i < n; ++i) {
      const double x = g[i] + decay * w[i];
      const float a = static_cast<float>(keep * norm[i] + take * x * x);
      const float rate = lr / (std::sqrt(a) + 1);
      norm[i] = a;
      w[i] = static_cast<float>(w[i] - rate * x);
    }
  }
};

template <int kDim>
using RmspropStep = RmspropFamilyStep<kDim, true>;
template <int kDim>
using RmspropV2Step = RmspropFamilyStep<kDim, false>;

}  // namespace

using C = OptimizerConfig;
const OptimizerType kRmspropType{"rmsprop",
                                 11,
                                 11,
                                 {{3, &C::weight_decay_factor}, {4, &C::momentum}},
                                 0,
                                 {{1, StateField::kEachDim, 0, 0}},
                                 StepByDim<RmspropStep>};

const OptimizerType kRmspropV2Type{"rmspropv2",
                                   12,
                                   12,
                                   {{3, &C::weight_decay_factor}, {4, &C::momentum}},
                                   0,
                                   {{1, StateField::kEachDim, 0, 0}},
                                   StepByDim<RmspropV2Step>};

}  // namespace monolith
