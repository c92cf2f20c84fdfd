#include "core/dense/rmsprop.h"

#include <cmath>

namespace monolith::dense {
namespace {

template <bool kUpdateSlots, bool kV2, class T>
void Step(const RmspropOptions& options, const T* __restrict grad, T* __restrict var, T* __restrict m, T* __restrict v, size_t n) {
  const T rate = static_cast<T>(options.learning_rate), beta1 = static_cast<T>(options.beta1);
  const T beta2 = static_cast<T>(options.beta2), rest = static_cast<T>(1 - options.beta2);
  const T epsilon = static_cast<T>(options.epsilon), decay = static_cast<T>(options.weight_decay);
  for (size_t i = 0; i < n; ++i) {
    const T g = grad[i] + decay * var[i];
    const T new_v = kV2 ? beta2 * v[i] + g * g : v[i] + (g * g - v[i]) * rest;
    const T root = kV2 ? std::sqrt(new_v) + epsilon : std::sqrt(new_v + epsilon);
    const T new_m = beta1 * m[i] + rate * g / root;
    if (kUpdateSlots) {
      m[i] = new_m;
      v[i] = new_v;
    }
    var[i] -= new_m;
  }
}

}  // namespace

template <class T>
void StepRmsprop(const RmspropOptions& options, const T* grad, T* var, T* m, T* v, size_t n) {
  if (options.update_slots)
    return options.use_v2 ? Step<true, true>(options, grad, var, m, v, n) : Step<true, false>(options, grad, var, m, v, n);
  return options.use_v2 ? Step<false, true>(options, grad, var, m, v, n) : Step<false, false>(options, grad, var, m, v, n);
}

template void StepRmsprop(const RmspropOptions&, const float*, float*, float*, float*, size_t);
template void StepRmsprop(const RmspropOptions&, const double*, double*, double*, double*, size_t);

}  // namespace monolith::dense
