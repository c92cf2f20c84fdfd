// Numbers 1 … n with a frequency of 1 / k^exponent, by rejection-inversion (Hörmann and Derflinger, 1996): constant time
// and memory for any n.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/base/random.h"

namespace monolith {

class Zipf {
 public:
  Zipf(uint64_t n, double exponent) : n_(static_cast<double>(n)), e_(exponent) {
    first_ = Integral(1.5) - 1;
    last_ = Integral(n_ + 0.5);
    accept_ = 2 - Inverse(Integral(2.5) - Density(2));
  }

  uint64_t Draw(Random* random) const {
    while (true) {
      const double u = last_ + random->Uniform() * (first_ - last_);
      const double x = Inverse(u);
      const double k = std::clamp(std::floor(x + 0.5), 1.0, n_);
      if (k - x <= accept_ || u >= Integral(k + 0.5) - Density(k)) return static_cast<uint64_t>(k);
    }
  }

 private:
  // (e^x - 1) / x and log(1 + x) / x, whole around 0 too.
  static double Expm1Over(double x) { return std::fabs(x) > 1e-8 ? std::expm1(x) / x : 1 + x / 2; }
  static double Log1pOver(double x) { return std::fabs(x) > 1e-8 ? std::log1p(x) / x : 1 - x / 2; }

  double Density(double x) const { return std::exp(-e_ * std::log(x)); }
  double Integral(double x) const {
    const double l = std::log(x);
    return Expm1Over((1 - e_) * l) * l;
  }
  double Inverse(double x) const { return std::exp(Log1pOver(std::max(x * (1 - e_), -1.0)) * x); }

  double n_, e_, first_, last_, accept_;
};

}  // namespace monolith
