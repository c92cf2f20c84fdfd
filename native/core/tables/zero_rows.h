// Rows whose weights are all but 0, which a serving table with skip_zero_embedding does not keep (spec 30, 6.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace monolith {

// The sum of squares, in floats, is below the least normal float.
bool AlmostZero(const float* weights, size_t dim);

// A batch without such rows.
struct NonZeroRows {
  std::vector<int64_t> keys;
  std::vector<float> values;         // [keys][dim]
  std::vector<uint32_t> timestamps;  // empty when none were given
  std::vector<int64_t> dropped;      // keys that end as 0: not those that a later row of the batch sets again
};
NonZeroRows WithoutZeros(const int64_t* keys, size_t n, const float* values, size_t dim, const uint32_t* timestamps);

}  // namespace monolith
