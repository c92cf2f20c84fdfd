// Steps of dense optimizers beside their formulas in double, at every length around a vector and in parts.
#include <cmath>
#include <vector>

#include "core/dense/adamom.h"
#include "core/dense/rmsprop.h"
#include "tests/check.h"

using namespace monolith;
using namespace monolith::dense;

namespace {

template <class T>
using Rows = std::vector<std::vector<T>>;  // grad, var and slots

template <class T>
Rows<T> Start(size_t arrays, size_t n) {
  Rows<T> out(arrays, std::vector<T>(n));
  for (size_t a = 0; a < arrays; ++a)
    for (size_t i = 0; i < n; ++i) out[a][i] = static_cast<T>(static_cast<double>((a * 31 + i * 17) % 23) / 7 - (a < 2 ? 1.5 : -0.1));
  return out;
}

// What one element becomes, in double.
std::vector<double> Adamom(const AdamomOptions& o, double grad, double var, double m, double v, double c) {
  const double g = grad + o.weight_decay * var;
  const double nm = o.mom_decay * m + (1 - o.mom_decay) * g, nv = o.ada_decay * v + g * g, nc = o.ada_decay * c + 1;
  const double root = o.use_v2 ? std::sqrt(nv / nc) + o.epsilon : std::sqrt(nv / nc + o.epsilon);
  var -= o.learning_rate * nm / root;
  if (o.update_slots) return {var, nm, nv, nc};
  return {var, m, v, c};
}

std::vector<double> Rmsprop(const RmspropOptions& o, double grad, double var, double m, double v) {
  const double g = grad + o.weight_decay * var;
  const double nv = o.use_v2 ? o.beta2 * v + g * g : v + (g * g - v) * (1 - o.beta2);
  const double nm = o.beta1 * m + o.learning_rate * g / (o.use_v2 ? std::sqrt(nv) + o.epsilon : std::sqrt(nv + o.epsilon));
  if (o.update_slots) return {var - nm, nm, nv};
  return {var - nm, m, v};
}

bool Near(double found, double expected, double tolerance) { return std::fabs(found - expected) <= tolerance * (1 + std::fabs(expected)); }

// Steps [0, n) at once and in parts [0, cut) and [cut, n): both must be near the formula, and equal.
template <class T, class StepPart, class Formula>
void Compare(size_t arrays, size_t n, double tolerance, StepPart step, Formula formula) {
  const Rows<T> before = Start<T>(arrays, n);
  Rows<T> whole = before, parts = before;
  const size_t cut = n / 3;
  step(&whole, 0, n);
  step(&parts, 0, cut);
  step(&parts, cut, n);
  for (size_t i = 0; i < n; ++i) {
    const std::vector<double> expected = formula(before, i);
    for (size_t a = 1; a < arrays; ++a) {
      CHECK(Near(static_cast<double>(whole[a][i]), expected[a - 1], tolerance));
      CHECK(Near(static_cast<double>(parts[a][i]), expected[a - 1], tolerance));
    }
    CHECK(whole[0][i] == before[0][i]);
  }
}

template <class T>
void CompareAdamom(bool slots, bool v2, size_t n, double tolerance) {
  AdamomOptions o;
  o.learning_rate = 0.1, o.ada_decay = 0.99, o.mom_decay = 0.9, o.epsilon = 0.01, o.weight_decay = 0.3;
  o.update_slots = slots, o.use_v2 = v2;
  Compare<T>(
      5, n, tolerance,
      [&](Rows<T>* r, size_t a, size_t b) {
        StepAdamom<T>(o, (*r)[0].data() + a, (*r)[1].data() + a, (*r)[2].data() + a, (*r)[3].data() + a, (*r)[4].data() + a, b - a);
      },
      [&](const Rows<T>& r, size_t i) { return Adamom(o, r[0][i], r[1][i], r[2][i], r[3][i], r[4][i]); });
}

template <class T>
void CompareRmsprop(bool slots, bool v2, size_t n, double tolerance) {
  RmspropOptions o;
  o.learning_rate = 0.1, o.beta1 = 0.9, o.beta2 = 0.99, o.epsilon = 0.01, o.weight_decay = 0.3;
  o.update_slots = slots, o.use_v2 = v2;
  Compare<T>(
      4, n, tolerance,
      [&](Rows<T>* r, size_t a, size_t b) {
        StepRmsprop<T>(o, (*r)[0].data() + a, (*r)[1].data() + a, (*r)[2].data() + a, (*r)[3].data() + a, b - a);
      },
      [&](const Rows<T>& r, size_t i) { return Rmsprop(o, r[0][i], r[1][i], r[2][i], r[3][i]); });
}

}  // namespace

TEST(every_length_around_a_vector) {
  for (size_t n = 0; n < 70; ++n) {
    for (int flags = 0; flags < 4; ++flags) {
      CompareAdamom<float>(flags & 1, flags & 2, n, 1e-6);
      CompareAdamom<double>(flags & 1, flags & 2, n, 1e-14);
      CompareRmsprop<float>(flags & 1, flags & 2, n, 1e-6);
      CompareRmsprop<double>(flags & 1, flags & 2, n, 1e-14);
    }
  }
}
