// Row splits of several requests, one after the other -> those of all together (spec 40, section 8.2, NormalizeMergedSplit).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace monolith::layouts {

// `sizes`: entries of each request among the `size` that there are. The first 0 of later requests goes, and what came before is added
// to the rest. Throws Error(kUsage), naming the request, where sizes do not add up or splits do not begin with 0 or fall.
std::vector<int64_t> MergeSplits(const int64_t* splits, size_t size, const std::vector<int64_t>& sizes);

}  // namespace monolith::layouts
