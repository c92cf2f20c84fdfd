// HashNet: training sees amplitude * tanh(scale * w) with a scale that grows, serving its sign.
#include <atomic>
#include <cmath>

#include "core/tables/compressors/compressor_type.h"

namespace monolith {
namespace {

// The scale of serving is where training began.
void Encode(const CompressorConfig& c, const float* weights, size_t n, char* out) {
  for (size_t i = 0; i < n; ++i) out[i] = c.amplitude * std::tanh(c.init_scale * weights[i]) > 0 ? 1 : -1;
}

// A row that was never written has 0.
void Decode(const CompressorConfig& c, const char* bytes, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(static_cast<signed char>(bytes[i])) * c.amplitude;
}

void Forward(const SegmentPlan& p, float* weights) {
  const float scale = p.scale->load(std::memory_order_relaxed), amplitude = p.compressor.amplitude;
  for (int i = 0; i < p.dim; ++i) weights[i] = amplitude * std::tanh(scale * weights[i]);
}

void Backward(const SegmentPlan& p, const float* weights, const float* grad, float* out) {
  const float scale = p.scale->load(std::memory_order_relaxed), amplitude = p.compressor.amplitude;
  for (int i = 0; i < p.dim; ++i) {
    const float t = std::tanh(scale * weights[i]);
    out[i] = grad[i] * amplitude * scale * (1 - t * t);
  }
}

using C = CompressorConfig;

}  // namespace

const CompressorType kOneBitType{"one_bit",
                                 "OneBit",
                                 "HashNet",
                                 4,
                                 {{3, &C::init_scale}, {4, &C::max_scale}, {5, &C::amplitude}},
                                 2,
                                 1,
                                 Encode,
                                 Decode,
                                 Forward,
                                 Backward};

}  // namespace monolith
