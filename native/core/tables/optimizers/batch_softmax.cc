#include <cstring>

#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

// The weight is an average of the steps between two occurrences of the key, the state the step of the last one.
void BatchSoftmaxStep(const SegmentPlan&, float* w, float* state, const float*, float lr, int64_t global_step) {
  int64_t last;
  std::memcpy(&last, state, sizeof last);
  // A damaged checkpoint may have any number; the difference wraps instead of overflowing.
  const int64_t steps = static_cast<int64_t>(static_cast<uint64_t>(global_step) - static_cast<uint64_t>(last));
  w[0] = (1 - lr) * w[0] + lr * static_cast<float>(steps);
  std::memcpy(state, &global_step, sizeof global_step);
}

StepFunction StepOf(int) { return BatchSoftmaxStep; }

}  // namespace

const OptimizerType kBatchSoftmaxType{"batch_softmax", 15, 14, {}, 0, {{1, StateField::kInt64, 0, 0}}, StepOf};

}  // namespace monolith
