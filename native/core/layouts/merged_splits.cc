#include "core/layouts/merged_splits.h"

#include <limits>
#include <string>

#include "core/base/error.h"

namespace monolith::layouts {
namespace {

[[noreturn]] void Fail(size_t request, const std::string& what) {
  throw Error(ErrorCode::kUsage, "row_splits of request " + std::to_string(request) + " " + what);
}

}  // namespace

std::vector<int64_t> MergeSplits(const int64_t* splits, size_t size, const std::vector<int64_t>& sizes) {
  std::vector<int64_t> out;
  out.reserve(size);
  size_t begin = 0;
  for (size_t request = 0; request < sizes.size(); ++request) {
    if (sizes[request] < 1 || static_cast<size_t>(sizes[request]) > size - begin)
      Fail(request, "cannot have " + std::to_string(sizes[request]) + " entries: " + std::to_string(size - begin) + " are left");
    const size_t end = begin + static_cast<size_t>(sizes[request]);
    const int64_t before = out.empty() ? 0 : out.back();
    if (splits[begin] != 0) Fail(request, "must begin with 0");
    if (out.empty()) out.push_back(0);
    for (size_t i = begin + 1; i < end; ++i) {
      if (splits[i] < splits[i - 1]) Fail(request, "must not fall");
      if (splits[i] > std::numeric_limits<int64_t>::max() - before) Fail(request, "are too large to be added to those before");
      out.push_back(before + splits[i]);
    }
    begin = end;
  }
  if (begin != size)
    throw Error(ErrorCode::kUsage, "row_splits has " + std::to_string(size) + " entries, but sizes count " + std::to_string(begin));
  return out;
}

}  // namespace monolith::layouts
