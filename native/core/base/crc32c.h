// CRC-32C (Castagnoli), by the processor's own instruction where there is one, and the masked form of TFRecord.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace monolith {

// Checksum of n bytes; `crc` is that of the bytes before them, so that a text can be fed piece by piece.
uint32_t Crc32c(const void* data, size_t n, uint32_t crc = 0);
inline uint32_t Crc32c(std::string_view s) { return Crc32c(s.data(), s.size()); }

// The same by table, for machines without the instruction (and to check it).
uint32_t Crc32cPortable(const void* data, size_t n, uint32_t crc = 0);

// A checksum stored beside the bytes it covers is rotated and shifted, so that a checksum over both stays good.
inline uint32_t MaskCrc32c(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }
inline uint32_t UnmaskCrc32c(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

}  // namespace monolith
