// How many rows a batch may claim.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/error.h"

namespace monolith {

// The rows of a batch that says it has `batch_size` of them and takes `bytes`. Throws BadRecord for a negative number, and
// for more rows than the size can vouch for: of a batch whose columns are all shared, a few bytes would make billions.
inline size_t CheckedBatchSize(int64_t batch_size, size_t bytes) {
  constexpr size_t kFreeRows = 1 << 16;
  if (batch_size < 0 || static_cast<size_t>(batch_size) > std::max(kFreeRows, bytes))
    throw BadRecord("a batch_size of " + std::to_string(batch_size));
  return static_cast<size_t>(batch_size);
}

}  // namespace monolith
