#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

template <int kDim>
struct SgdStep {
  static void Run(const SegmentPlan& p, float* __restrict w, float*, const float* __restrict g, float lr, int64_t) {
    const int n = kDim ? kDim : p.dim;
    for (int i = 0; i < n; ++i) w[i] -= lr * g[i];
  }
};

}  // namespace

const OptimizerType kSgdType{"sgd", 2, 2, {}, 0, {}, StepByDim<SgdStep>};

}  // namespace monolith
