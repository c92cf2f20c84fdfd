// The kernel of an update op of a dense variable and its slots.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/dense_update.h"

namespace monolith {

// `Update` names an optimizer: its Options, which have update_slots and use_v2; Roles(), the variable and its slots as the op's first
// inputs are called; Numbers(), scalar inputs and the options they set; and Step(options, grad, variables, n), where variables[i]
// points to n elements of the i-th role.
template <class Update, class T>
class DenseUpdateOp : public tensorflow::OpKernel {
 public:
  explicit DenseUpdateOp(tensorflow::OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("use_locking", &use_locking_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("update_slots", &options_.update_slots));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("use_v2", &options_.use_v2));
  }

  void Compute(tensorflow::OpKernelContext* ctx) override {
    absl::Status inner;
    OP_REQUIRES_OK(ctx, Guard([&] { inner = Run(ctx); }));
    OP_REQUIRES_OK(ctx, inner);
  }

 private:
  absl::Status Run(tensorflow::OpKernelContext* ctx) const {
    typename Update::Options options = options_;
    for (const auto& [name, option] : Update::Numbers()) options.*option = ScalarInput<double>(ctx, name);
    DenseVariables variables;
    TF_RETURN_IF_ERROR(variables.Open(ctx, Update::Roles(), tensorflow::DataTypeToEnum<T>::value, use_locking_));
    const tensorflow::Tensor* grad = nullptr;
    TF_RETURN_IF_ERROR(ReadGradient(ctx, variables[0], &grad));
    const T* g = grad->flat<T>().data();
    constexpr size_t kVariables = Update::kVariables;
    std::array<T*, kVariables> data;
    for (size_t i = 0; i < kVariables; ++i) data[i] = variables.data<T>(i);
    ForEachPart(ctx, grad->NumElements(), [&](int64_t begin, int64_t end) {
      std::array<T*, kVariables> part = data;
      for (T*& p : part) p += begin;
      Update::Step(options, g + begin, part, static_cast<size_t>(end - begin));
    });
    return absl::OkStatus();
  }

  bool use_locking_ = false;
  typename Update::Options options_;
};

// The shape function of such an op.
template <class Update>
absl::Status DenseUpdateShapes(tensorflow::shape_inference::InferenceContext* c) {
  std::vector<const char*> numbers;
  for (const auto& [name, option] : Update::Numbers()) numbers.push_back(name);
  return CheckDenseUpdateShapes(c, Update::Roles(), numbers);
}

}  // namespace monolith
