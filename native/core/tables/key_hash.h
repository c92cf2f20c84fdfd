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

// The key that hashes to `x`.
inline int64_t KeyOfHash(uint64_t x) {
  constexpr uint64_t kInverse = 0xcfee444d8b59a89b;
  static_assert(kInverse * 0xd6e8feb86659fd93 == 1);
  x ^= x >> 32;
  x *= kInverse;
  x ^= x >> 32;
  x *= kInverse;
  x ^= x >> 32;
  return static_cast<int64_t>(x);
}

}  // namespace monolith
