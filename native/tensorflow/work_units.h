// Work of one op, spread over the threads of its device.
#pragma once

#include <cstdint>
#include <vector>

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"
#include "tensorflow/op_util.h"

namespace monolith {

// Below this many fids in a batch one thread is faster than waking others.
constexpr int64_t kFidsWorthThreads = 20000;
constexpr int64_t kFidsPerUnit = 4096;

// Runs work(0) … work(n-1), which may throw, on the thread pool of the device when that is worth it.
template <class Work>
absl::Status ForEachUnit(tensorflow::OpKernelContext* ctx, size_t n, bool threads, Work work) {
  if (!threads || n < 2) {
    for (size_t i = 0; i < n; ++i) work(i);
    return absl::OkStatus();
  }
  std::vector<absl::Status> failed(n);
  const auto& pool = *ctx->device()->tensorflow_cpu_worker_threads();
  constexpr int64_t kCostOfUnit = 1000000;  // cycles; far above the cost of handing a unit over
  tensorflow::Shard(pool.num_threads, pool.workers, static_cast<int64_t>(n), kCostOfUnit, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) failed[i] = Guard([&] { work(static_cast<size_t>(i)); });
  });
  for (const absl::Status& s : failed) TF_RETURN_IF_ERROR(s);
  return absl::OkStatus();
}

}  // namespace monolith
