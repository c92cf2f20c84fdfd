#include "core/base/random.h"

#include <sys/random.h>

#include <chrono>

namespace monolith {

uint64_t RandomSeed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) == sizeof seed) return seed;
  uint64_t state = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  return SplitMix64(&state);
}

}  // namespace monolith
