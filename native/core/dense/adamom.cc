#include "core/dense/adamom.h"

#include <cmath>

namespace monolith::dense {
namespace {

template <bool kUpdateSlots, bool kV2, class T>
void Step(const AdamomOptions& options, const T* __restrict grad, T* __restrict var, T* __restrict m, T* __restrict v,
          T* __restrict c, size_t n) {
  const T rate = static_cast<T>(options.learning_rate), ada = static_cast<T>(options.ada_decay);
  const T mom = static_cast<T>(options.mom_decay), rest = static_cast<T>(1 - options.mom_decay);
  const T epsilon = static_cast<T>(options.epsilon), decay = static_cast<T>(options.weight_decay);
  for (size_t i = 0; i < n; ++i) {
    const T g = grad[i] + decay * var[i];
    const T new_m = mom * m[i] + rest * g;
    const T new_v = ada * v[i] + g * g;
    const T new_c = ada * c[i] + 1;
    const T root = kV2 ? std::sqrt(new_v / new_c) + epsilon : std::sqrt(new_v / new_c + epsilon);
    if (kUpdateSlots) {
      m[i] = new_m;
      v[i] = new_v;
      c[i] = new_c;
    }
    var[i] -= rate * new_m / root;
  }
}

}  // namespace

template <class T>
void StepAdamom(const AdamomOptions& options, const T* grad, T* var, T* m, T* v, T* c, size_t n) {
  if (options.update_slots)
    return options.use_v2 ? Step<true, true>(options, grad, var, m, v, c, n) : Step<true, false>(options, grad, var, m, v, c, n);
  return options.use_v2 ? Step<false, true>(options, grad, var, m, v, c, n) : Step<false, false>(options, grad, var, m, v, c, n);
}

template void StepAdamom(const AdamomOptions&, const float*, float*, float*, float*, float*, size_t);
template void StepAdamom(const AdamomOptions&, const double*, double*, double*, double*, double*, size_t);

}  // namespace monolith::dense
