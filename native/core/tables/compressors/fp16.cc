#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "core/base/bytes.h"
#include "core/tables/compressors/compressor_type.h"
#include "core/tables/compressors/half.h"

namespace monolith {
namespace {

void Encode(const CompressorConfig&, const float* weights, size_t n, char* out) { HalvesFromFloats(weights, n, out); }
void Decode(const CompressorConfig&, const char* bytes, size_t n, float* out) { FloatsFromHalves(bytes, n, out); }

}  // namespace

void HalvesFromFloats(const float* values, size_t n, char* halves) {
  size_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(halves + i * 2),
                     _mm256_cvtps_ph(_mm256_loadu_ps(values + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  for (; i < n; ++i) StoreLe(halves + i * 2, HalfFromFloat(values[i]));
}

void FloatsFromHalves(const char* halves, size_t n, float* values) {
  size_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(values + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + i * 2))));
#endif
  for (; i < n; ++i) values[i] = FloatFromHalf(LoadLe<uint16_t>(halves + i * 2));
}

const CompressorType kFp16Type{"fp16", "Fp16", "Raw", 2, {}, 0, 2, Encode, Decode, nullptr, nullptr};

}  // namespace monolith
