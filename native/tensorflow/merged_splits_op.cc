// Row splits of several requests as those of all together (spec 40, section 8.2).
#include <algorithm>
#include <vector>

#include "core/layouts/merged_splits.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/op_checks.h"

namespace monolith {
namespace {

namespace tf = tensorflow;

REGISTER_OP("MonolithNormalizeMergedSplit")
    .Input("row_splits: int64")
    .Input("sizes: int32")
    .Output("merged: int64")
    .SetShapeFn([](tf::shape_inference::InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{0, "row_splits", 1}, {1, "sizes", 1}}));
      c->set_output(0, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc("Row splits of requests, one after the other, `sizes` entries each -> row splits of all their rows.");

class NormalizeMergedSplitOp : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* ctx) override {
    std::vector<int64_t> merged;
    OP_REQUIRES_OK(ctx, Guard([&] {
                     const auto splits = InputOfRank(ctx, "row_splits", 1).flat<int64_t>();
                     const auto sizes = InputOfRank(ctx, "sizes", 1).flat<int32_t>();
                     merged = layouts::MergeSplits(splits.data(), static_cast<size_t>(splits.size()), {sizes.data(), sizes.data() + sizes.size()});
                   }));
    tf::Tensor* out = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {static_cast<int64_t>(merged.size())}, &out));
    std::copy(merged.begin(), merged.end(), out->flat<int64_t>().data());
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithNormalizeMergedSplit").Device(tf::DEVICE_CPU), NormalizeMergedSplitOp);

}  // namespace
}  // namespace monolith
