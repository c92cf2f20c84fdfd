// Checks of the arguments of an op, by the names that its users know: when the graph is built, and again when it runs, where shapes
// were not known before.
#pragma once

#include <initializer_list>
#include <string>

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/op_util.h"

namespace monolith {

struct ExpectedRank {
  int input;
  const char* argument;
  int rank;
};

inline absl::Status CheckRanks(tensorflow::shape_inference::InferenceContext* c, std::initializer_list<ExpectedRank> inputs) {
  for (const ExpectedRank& e : inputs) {
    tensorflow::shape_inference::ShapeHandle shape;
    if (!c->WithRank(c->input(e.input), e.rank, &shape).ok())
      return ToStatus(ErrorCode::kUsage, std::string(e.argument) + " must have rank " + std::to_string(e.rank) + ", not the shape " +
                                             c->DebugString(c->input(e.input)));
  }
  return absl::OkStatus();
}

// The input of this name; Error(kUsage) when it has another rank.
inline const tensorflow::Tensor& InputOfRank(tensorflow::OpKernelContext* ctx, const char* argument, int rank) {
  const tensorflow::Tensor* t = nullptr;
  const absl::Status found = ctx->input(argument, &t);
  if (!found.ok()) throw Error(ErrorCode::kInternal, std::string(found.message()));
  if (t->dims() != rank)
    throw Error(ErrorCode::kUsage, std::string(argument) + " must have rank " + std::to_string(rank) + ", not the shape " +
                                       t->shape().DebugString());
  return *t;
}

template <class T>
T ScalarInput(tensorflow::OpKernelContext* ctx, const char* argument) {
  return InputOfRank(ctx, argument, 0).scalar<T>()();
}

}  // namespace monolith
