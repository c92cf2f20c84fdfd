#pragma once

#include <cstdint>

namespace monolith {

// A bijection of 64-bit keys whose every output bit depends on every input bit: fids differ in few bits at both ends.
inline uint64_t HashKey(int64_t key) {
  uint64_t x = static_cast<uint64_t>(key);
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93;
  x ^= x >> 32;
  return x;
}

}  // namespace monolith
