#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

// The "gradient" is the new observation; there is no rate.
template <int kDim>
struct MovingAverageStep {
  static void Run(const SegmentPlan& p, float* __restrict w, float*, const float* __restrict g, float, int64_t) {
    const int n = kDim ? kDim : p.dim;
    const float keep = p.optimizer.momentum, take = 1 - keep;
    for (int i = 0; i < n; ++i) w[i] = keep * w[i] + take * g[i];
  }
};

}  // namespace

const OptimizerType kMovingAverageType{
    "moving_average", 10, 0, {{2, &OptimizerConfig::momentum}}, 0, {}, StepByDim<MovingAverageStep>};

}  // namespace monolith
