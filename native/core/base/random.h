// Fast seeded random numbers: the same seed gives the same numbers on every machine.
#pragma once

#include <cstdint>

namespace monolith {

// One step of splitmix64: spreads seeds and keys over all 64 bits.
inline uint64_t SplitMix64(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// xoshiro256**. Not thread-safe.
class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& s : state_) s = SplitMix64(&seed);
  }

  uint64_t Next() {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }

  // Evenly in [0, n); n > 0. No modulo bias.
  uint64_t Below(uint64_t n) {
    unsigned __int128 wide = static_cast<unsigned __int128>(Next()) * n;
    if (static_cast<uint64_t>(wide) < n) {
      const uint64_t reject = -n % n;
      while (static_cast<uint64_t>(wide) < reject) wide = static_cast<unsigned __int128>(Next()) * n;
    }
    return static_cast<uint64_t>(wide >> 64);
  }

  // Evenly in [0, 1).
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  float UniformFloat() { return static_cast<float>(Next() >> 40) * 0x1p-24f; }

 private:
  static uint64_t Rotate(uint64_t v, int k) { return (v << k) | (v >> (64 - k)); }
  uint64_t state_[4];
};

// A seed from the operating system, for runs that were given none.
uint64_t RandomSeed();

}  // namespace monolith
