// One step of Rmsprop with momentum over dense floats (spec 50, section 11.2). No TensorFlow.
#pragma once

#include <cstddef>

namespace monolith::dense {

struct RmspropOptions {
  double learning_rate = 5e-6;
  double beta1 = 0.99;   // of the momentum over steps
  double beta2 = 0.999;  // of the squares
  double epsilon = 1e-8;
  double weight_decay = 0;   // times the variable is added to the gradient
  bool update_slots = true;  // false: the step is taken, and the slots stay what they were
  bool use_v2 = false;       // squares are summed with full weight, and epsilon is added to the root instead of under it
};

// n elements; slots start at 0. T is float or double.
//   g = grad + weight_decay * var
//   v += (g^2 - v) * (1 - beta2); m = beta1 * m + learning_rate * g / sqrt(v + epsilon); var -= m
//   with use_v2: v = beta2 * v + g^2; m = beta1 * m + learning_rate * g / (sqrt(v) + epsilon); var -= m
// Every element stands for itself: parts of a variable may be stepped side by side with equal results.
template <class T>
void StepRmsprop(const RmspropOptions& options, const T* grad, T* var, T* m, T* v, size_t n);

}  // namespace monolith::dense
