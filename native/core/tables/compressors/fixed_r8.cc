// 8 bits a weight over a fixed range, symmetric round 0.
#include <algorithm>
#include <cmath>

#include "core/tables/compressors/compressor_type.h"

namespace monolith {
namespace {

float StepOf(const CompressorConfig& c) { return c.r / 128; }

// Half a step away from 0 and truncated; held to the range before it becomes an integer, which none beyond would fit.
inline float Quantized(float v, float step, float half) {
  const float q = std::trunc((v + std::copysign(half, v)) / step);
  return std::isnan(v) ? 0.f : std::min(127.f, std::max(-128.f, q));
}

void Encode(const CompressorConfig& c, const float* weights, size_t n, char* out) {
  const float step = StepOf(c), half = step / 2;
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<char>(static_cast<int>(Quantized(weights[i], step, half)));
}

void Decode(const CompressorConfig& c, const char* bytes, size_t n, float* out) {
  const float step = StepOf(c);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(static_cast<signed char>(bytes[i])) * step;
}

// Training reads what serving will; gradients pass as they are.
void Forward(const SegmentPlan& p, float* weights) {
  const float step = StepOf(p.compressor), half = step / 2;
  // Adding 0 makes a 0 of -0, as the integer between would.
  for (int i = 0; i < p.dim; ++i) weights[i] = (Quantized(weights[i], step, half) + 0.f) * step;
}

}  // namespace

const CompressorType kFixedR8Type{
    "fixed_r8", "FixedR8", "FakeQuant", 3, {{2, &CompressorConfig::r}}, 0, 1, Encode, Decode, Forward, nullptr};

}  // namespace monolith
