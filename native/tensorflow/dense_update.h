// What the update ops of dense variables share: the variables of one step, ready to be written, and their work on threads.
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"
#include "tensorflow/op_checks.h"

namespace monolith {

// A variable of a step; `role` is the name of its input.
struct DenseVariable {
  std::string role, name;
  tensorflow::core::RefCountPtr<tensorflow::Var> var;
  tensorflow::Tensor tensor;  // what the step writes to
};

// The variables of one step. Locks are held until it goes out of scope.
class DenseVariables {
 public:
  // Inputs 0, 1, … are handles with the names in `roles`. `lock`: nobody else writes or reads any of them meanwhile.
  // FailedPrecondition where one is not initialised, InvalidArgument where its type or shape is not that of the first.
  absl::Status Open(tensorflow::OpKernelContext* ctx, const std::vector<const char*>& roles, tensorflow::DataType type, bool lock);

  const DenseVariable& operator[](size_t i) const { return variables_[i]; }

  template <class T>
  T* data(size_t i) {
    return variables_[i].tensor.template flat<T>().data();
  }

 private:
  absl::Status Find(tensorflow::OpKernelContext* ctx, int input, const char* role);
  void LockAll();

  std::vector<DenseVariable> variables_;
  std::deque<tensorflow::mutex_lock> locks_;  // let go before the variables
};

// The gradient, which must have the shape of `variable`.
absl::Status ReadGradient(tensorflow::OpKernelContext* ctx, const DenseVariable& variable, const tensorflow::Tensor** grad);

// step(begin, end) for parts of n elements, on the threads of the device where there are enough of them: waking one costs as much
// as some 100,000 elements.
template <class Step>
void ForEachPart(tensorflow::OpKernelContext* ctx, int64_t n, Step step) {
  constexpr int64_t kWorthThreads = 131072, kBlock = 1024, kCyclesOfBlock = 4000;
  if (n < kWorthThreads) return step(0, n);
  const auto& pool = *ctx->device()->tensorflow_cpu_worker_threads();
  tensorflow::Shard(pool.num_threads, pool.workers, (n + kBlock - 1) / kBlock, kCyclesOfBlock,
                    [&](int64_t begin, int64_t end) { step(begin * kBlock, std::min(end * kBlock, n)); });
}

// Inputs are handles with the names in `roles`, scalars with those in `numbers`, and grad. All shapes that are known must be equal.
absl::Status CheckDenseUpdateShapes(tensorflow::shape_inference::InferenceContext* c, const std::vector<const char*>& roles,
                                    const std::vector<const char*>& numbers);

}  // namespace monolith
