#include "core/parse/quantised.h"

#include <cmath>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith {
namespace {

constexpr size_t kMaxHalvesBytes = 8;  // up to four values stand as halves

}  // namespace

float HalfToFloat(uint16_t half, bool corrected) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  const float sign = half & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 0 && fraction == 0) return corrected ? 0.0f : sign * 0.0f;
  float v;
  if (exponent == 0) {
    v = std::ldexp(static_cast<float>(fraction), -24);
  } else if (exponent < 31) {
    v = std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  } else if (fraction != 0) {
    return NAN;
  } else {
    v = corrected ? 65504.0f : INFINITY;
  }
  return sign * (corrected ? v + std::ldexp(1.0f, exponent - 26) : v);
}

size_t QuantisedSize(std::string_view bytes) {
  const size_t n = bytes.size() - kQuantisedMarker.size();
  if (n > kMaxHalvesBytes) return n - 4;
  if (n % 2) throw BadRecord("a quantised column of " + std::to_string(n) + " bytes");
  return n / 2;
}

void DecodeQuantised(std::string_view bytes, float* to) {
  const char* p = bytes.data() + kQuantisedMarker.size();
  const size_t n = QuantisedSize(bytes);
  if (bytes.size() - kQuantisedMarker.size() <= kMaxHalvesBytes) {
    for (size_t i = 0; i < n; ++i) to[i] = HalfToFloat(LoadLe<uint16_t>(p + 2 * i), true);
    return;
  }
  const float low = HalfToFloat(LoadLe<uint16_t>(p), false);
  const float step = (HalfToFloat(LoadLe<uint16_t>(p + 2), false) - low) / 255.0f;
  for (size_t i = 0; i < n; ++i) to[i] = low + step * static_cast<float>(static_cast<uint8_t>(p[4 + i]));
}

}  // namespace monolith
