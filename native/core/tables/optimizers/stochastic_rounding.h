// After a step, weights that float16 can hold (spec 30, 3.12).
#pragma once

#include <cstdint>

namespace monolith {

// Random numbers of one batch of steps: a function of the table's seed, the time and the global step. The key, the place of a
// weight in the row and the weight itself are added for each number, so that neither the order of keys nor the threads matter.
// What tells two steps with the same gradient apart is the global step (or the time): a caller who never raises it gets the same
// choice for the same weight each time.
uint64_t RoundingStart(uint64_t seed, uint32_t now, int64_t global_step);

// Each weight becomes the float16 value below or above it, the nearer the likelier, so that the mean is the weight itself; one
// that is such a value stays. Beyond the range: +-65504. `first`: place of weights[0] in the row.
void RoundToHalves(uint64_t start, int64_t key, int first, float* weights, int n);

}  // namespace monolith
