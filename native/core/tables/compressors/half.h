// IEEE binary16 (1 sign, 5 exponent, 10 fraction bits).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace monolith {

inline constexpr float kMaxHalf = 65504;

// Rounds to nearest, ties to even; from 65520 on to infinity. A NaN stays one, made quiet, with the upper bits of its payload:
// just what the conversion instructions of a CPU give.
inline uint16_t HalfFromFloat(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | (bits >> 13 & 0x3ff));
  if (bits >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (bits < 0x38800000) {
    // Below the normal range the last place is 2^-24, that of a float between 0.5 and 1: the addition rounds.
    float magnitude;
    std::memcpy(&magnitude, &bits, sizeof bits);
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, sizeof bits);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000));
  }
  // 13 bits go; what is added carries into the rest above one half, and at one half when the last bit kept is odd.
  bits += 0xfff + (bits >> 13 & 1);
  return static_cast<uint16_t>(sign | (bits - 0x38000000) >> 13);
}

inline float FloatFromHalf(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16, exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
  uint32_t bits;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    std::memcpy(&bits, &magnitude, sizeof bits);
  } else if (exponent == 31) {
    bits = 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0);
  } else {
    bits = (exponent + 112) << 23 | fraction << 13;
  }
  bits |= sign;
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

// The same many at a time, by the CPU's instructions where it has them. `halves` need not be aligned; little-endian.
void HalvesFromFloats(const float* values, size_t n, char* halves);
void FloatsFromHalves(const char* halves, size_t n, float* values);

}  // namespace monolith
