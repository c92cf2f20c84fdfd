// One step of Adamom over dense floats (spec 50, section 11.1): momentum over gradients, divided by the root of the mean of all
// squares so far. No TensorFlow.
#pragma once

#include <cstddef>

namespace monolith::dense {

struct AdamomOptions {
  double learning_rate = 5e-6;
  double ada_decay = 0.9999;  // of the sum of squares and of its count
  double mom_decay = 0.99;    // of the momentum
  double epsilon = 1e-6;
  double weight_decay = 0;   // times the variable is added to the gradient
  bool update_slots = true;  // false: the step is taken, and the slots stay what they were
  bool use_v2 = false;       // epsilon is added to the root instead of under it
};

// n elements; slots start at 0. T is float or double.
//   g = grad + weight_decay * var; m = mom_decay * m + (1 - mom_decay) * g; v = ada_decay * v + g^2; c = ada_decay * c + 1
//   var -= learning_rate * m / sqrt(v / c + epsilon), or with use_v2 learning_rate * m / (sqrt(v / c) + epsilon)
// Every element stands for itself: parts of a variable may be stepped side by side with equal results.
template <class T>
void StepAdamom(const AdamomOptions& options, const T* grad, T* var, T* m, T* v, T* c, size_t n);

}  // namespace monolith::dense
