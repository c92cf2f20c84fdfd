#include <cstring>

#include "core/tables/compressors/compressor_type.h"

namespace monolith {
namespace {

void Encode(const CompressorConfig&, const float* weights, size_t n, char* out) { std::memcpy(out, weights, n * sizeof(float)); }
void Decode(const CompressorConfig&, const char* bytes, size_t n, float* out) { std::memcpy(out, bytes, n * sizeof(float)); }

}  // namespace

const CompressorType kFp32Type{"fp32", "Fp32", "Raw", 1, {}, 0, sizeof(float), Encode, Decode, nullptr, nullptr};

}  // namespace monolith
