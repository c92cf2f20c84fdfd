#include "core/tables/optimizers/stochastic_rounding.h"

#include <cmath>
#include <cstring>

#include "core/tables/compressors/half.h"
#include "core/tables/key_hash.h"

namespace monolith {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;

uint64_t Mix(uint64_t a, uint64_t b) { return HashKey(static_cast<int64_t>(HashKey(static_cast<int64_t>(a)) ^ b)); }

// `random`: 64 even bits.
float RoundedToHalf(float v, uint64_t random) {
  if (!(std::fabs(v) < kMaxHalf)) return std::isnan(v) ? v : std::copysign(kMaxHalf, v);
  if (std::fabs(v) < 0x1p-14f) {
    // Below the normal range of float16 its values are the multiples of 2^-24.
    const double scaled = std::fabs(v) * 0x1p24, up = static_cast<double>(random >> 11) * 0x1p-53;
    return std::copysign(static_cast<float>(std::floor(scaled + up)) * 0x1p-24f, v);
  }
  // The 13 bits that go are the distance to the value below: they carry for just as many of the 2^13 numbers.
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  bits = (bits + static_cast<uint32_t>(random >> 51)) & ~0x1fffu;
  std::memcpy(&v, &bits, sizeof bits);
  return v;
}

}  // namespace

uint64_t RoundingStart(uint64_t seed, uint32_t now, int64_t global_step) {
  return Mix(Mix(seed ^ 0x726f756e64696e67, now), static_cast<uint64_t>(global_step));
}

void RoundToHalves(uint64_t start, int64_t key, int first, float* weights, int n) {
  const uint64_t row = Mix(start, static_cast<uint64_t>(key));
  for (int i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, weights + i, sizeof bits);
    const uint64_t at = row + static_cast<uint64_t>(first + i + 1) * kGolden;
    weights[i] = RoundedToHalf(weights[i], HashKey(static_cast<int64_t>(at ^ bits)));
  }
}

}  // namespace monolith
