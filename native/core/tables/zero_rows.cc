#include "core/tables/zero_rows.h"

#include <cfloat>
#include <unordered_set>

namespace monolith {

bool AlmostZero(const float* weights, size_t dim) {
  float squares = 0;
  for (size_t i = 0; i < dim; ++i) squares += weights[i] * weights[i];
  return squares < FLT_MIN;
}

NonZeroRows WithoutZeros(const int64_t* keys, size_t n, const float* values, size_t dim, const uint32_t* timestamps) {
  NonZeroRows rows;
  std::vector<size_t> zeros;
  for (size_t i = 0; i < n; ++i) {
    const float* row = values + i * dim;
    if (AlmostZero(row, dim)) {
      zeros.push_back(i);
      continue;
    }
    rows.keys.push_back(keys[i]);
    rows.values.insert(rows.values.end(), row, row + dim);
    if (timestamps) rows.timestamps.push_back(timestamps[i]);
  }
  if (zeros.empty()) return rows;
  // From the end: what comes later in the batch decides.
  std::unordered_set<int64_t> set_later;
  size_t zero = zeros.size(), kept = rows.keys.size();
  for (size_t i = n; i-- > 0;) {
    if (zero > 0 && zeros[zero - 1] == i) {
      --zero;
      if (!set_later.count(keys[i])) rows.dropped.push_back(keys[i]);
    } else {
      set_later.insert(rows.keys[--kept]);
    }
  }
  return rows;
}

}  // namespace monolith
