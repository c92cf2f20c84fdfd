// Occurrence filters in a graph (spec 30, sections 8 and 10): made, saved, restored, and standing in the way of gradients.
#include <algorithm>
#include <string>
#include <vector>

#include "core/tables/filters/probabilistic_filter.h"
#include "core/tables/filters/sliding_filter.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/resource_op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow/filter_resource.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;

REGISTER_OP("MonolithHashFilter")
    .Output("handle: resource")
    .Attr("capacity: int = 300000000")
    .Attr("split_num: int = 7")
    .Attr("config: string = ''")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(tf::shape_inference::ScalarShape)
    .Doc("A sliding filter of `capacity` ids; config: a serialized SlotOccurrenceThresholdConfig.");

REGISTER_OP("MonolithProbabilisticFilter")
    .Output("handle: resource")
    .Attr("equal_probability: bool = false")
    .Attr("config: string = ''")
    .Attr("seed: int = 0")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(tf::shape_inference::ScalarShape)
    .Doc("Lets absent ids in by chance; config: a serialized SlotOccurrenceThresholdConfig.");

REGISTER_OP("MonolithDummyHashFilter")
    .Output("handle: resource")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(tf::shape_inference::ScalarShape)
    .Doc("A filter that keeps nothing out.");

absl::Status FileShapes(InferenceContext* c) {
  tf::shape_inference::ShapeHandle scalar;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 0, &scalar));
  c->set_output(0, c->Scalar());
  return absl::OkStatus();
}

REGISTER_OP("MonolithHashFilterSave")
    .Input("handle: resource")
    .Input("basename: string")
    .Output("output_handle: resource")
    .SetIsStateful()
    .SetShapeFn(FileShapes)
    .Doc("Writes <basename>-ddddd-of-ddddd, one file for each split, all or none.");

REGISTER_OP("MonolithHashFilterRestore")
    .Input("handle: resource")
    .Input("basename: string")
    .Output("output_handle: resource")
    .SetIsStateful()
    .SetShapeFn(FileShapes)
    .Doc("Takes over what was saved. Where there are no files, a filter that has some warns and starts empty.");

absl::Status InterceptShapes(InferenceContext* c) {
  tf::shape_inference::ShapeHandle ids;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &ids));
  c->set_output(0, c->input(2));
  return absl::OkStatus();
}

REGISTER_OP("MonolithHashFilterInterceptGradient")
    .Input("filter_handle: resource")
    .Input("ids: int64")
    .Input("embeddings: float")
    .Output("same_embeddings: float")
    .SetIsStateful()
    .SetShapeFn(InterceptShapes)
    .Doc("The embeddings of ids as they are; their gradient is zero for ids that the filter keeps out.");

REGISTER_OP("MonolithHashFilterInterceptGradientGradient")
    .Input("filter_handle: resource")
    .Input("ids: int64")
    .Input("grad: float")
    .Output("filted_grad: float")
    .SetIsStateful()
    .SetShapeFn(InterceptShapes)
    .Doc("Counts each id once and zeroes the gradients of those that the filter keeps out.");

class FilterOpBase : public tf::ResourceOpKernel<FilterResource> {
 public:
  using ResourceOpKernel::ResourceOpKernel;

 protected:
  virtual std::shared_ptr<OccurrenceFilter> Make() const = 0;
  void ReadThresholds(tf::OpKernelConstruction* ctx) {
    std::string config;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("config", &config));
    OP_REQUIRES_OK(ctx, Guard([&] { thresholds_ = SlotThresholds::Decode(config); }));
  }

 private:
  absl::Status CreateResource(FilterResource** resource) override {
    return Guard([&] { *resource = new FilterResource(std::make_shared<OccurrenceGate>(Make(), thresholds_)); });
  }
  SlotThresholds thresholds_;
};

class HashFilterOp : public FilterOpBase {
 public:
  explicit HashFilterOp(tf::OpKernelConstruction* ctx) : FilterOpBase(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("capacity", &capacity_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("split_num", &split_num_));
    OP_REQUIRES(ctx, capacity_ >= 0,
                ToStatus(ErrorCode::kConfig, "MonolithHashFilter: capacity must not be negative: " + std::to_string(capacity_)));
    ReadThresholds(ctx);
  }

 private:
  std::shared_ptr<OccurrenceFilter> Make() const override {
    return std::make_shared<SlidingFilter>(static_cast<uint64_t>(capacity_), split_num_);
  }
  int64_t capacity_ = 0;
  int split_num_ = 0;
};

class ProbabilisticFilterOp : public FilterOpBase {
 public:
  explicit ProbabilisticFilterOp(tf::OpKernelConstruction* ctx) : FilterOpBase(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("equal_probability", &equal_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("seed", &seed_));
    ReadThresholds(ctx);
  }

 private:
  std::shared_ptr<OccurrenceFilter> Make() const override {
    return std::make_shared<ProbabilisticFilter>(equal_, static_cast<uint64_t>(seed_));
  }
  bool equal_ = false;
  int64_t seed_ = 0;
};

class DummyFilterOp : public FilterOpBase {
 public:
  using FilterOpBase::FilterOpBase;

 private:
  std::shared_ptr<OccurrenceFilter> Make() const override { return std::make_shared<PassAllFilter>(); }
};

// A kernel whose first input is the handle of a filter; errors of the core become its status.
class FilterKernel : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* ctx) override {
    tf::core::RefCountPtr<FilterResource> resource;
    OP_REQUIRES_OK(ctx, tf::LookupResource(ctx, tf::HandleFromInput(ctx, 0), &resource));
    absl::Status inner;
    OP_REQUIRES_OK(ctx, Guard([&] { inner = Run(ctx, *resource->gate()); }));
    OP_REQUIRES_OK(ctx, inner);
  }

 protected:
  virtual absl::Status Run(tf::OpKernelContext* ctx, const OccurrenceGate& gate) = 0;
};

class FileKernel : public FilterKernel {
 public:
  using FilterKernel::FilterKernel;

 protected:
  virtual void Files(OccurrenceFilter* filter, const std::string& basename) = 0;

 private:
  absl::Status Run(tf::OpKernelContext* ctx, const OccurrenceGate& gate) override {
    if (ctx->input(1).NumElements() != 1)
      return ToStatus(ErrorCode::kUsage, name() + ": basename must be a scalar, not of shape " + ctx->input(1).shape().DebugString());
    Files(&gate.filter(), ctx->input(1).flat<tf::tstring>()(0));
    ctx->set_output(0, ctx->input(0));
    return absl::OkStatus();
  }
};

class SaveOp : public FileKernel {
 public:
  using FileKernel::FileKernel;

 private:
  void Files(OccurrenceFilter* filter, const std::string& basename) override { filter->Save(basename); }
};

class RestoreOp : public FileKernel {
 public:
  using FileKernel::FileKernel;

 private:
  void Files(OccurrenceFilter* filter, const std::string& basename) override {
    if (filter->split_num() == 0) return filter->Restore(basename);
    if (!filter->RestoreIfThere(basename)) LOG(WARNING) << basename << ": there are no files of a filter; it starts empty";
  }
};

class InterceptOp : public FilterKernel {
 public:
  using FilterKernel::FilterKernel;

 private:
  absl::Status Run(tf::OpKernelContext* ctx, const OccurrenceGate&) override {
    ctx->set_output(0, ctx->input(2));
    return absl::OkStatus();
  }
};

class InterceptGradientOp : public FilterKernel {
 public:
  using FilterKernel::FilterKernel;

 private:
  absl::Status Run(tf::OpKernelContext* ctx, const OccurrenceGate& gate) override {
    const tf::Tensor& ids = ctx->input(1);
    const tf::Tensor& grad = ctx->input(2);
    const int64_t n = ids.NumElements();
    if (n == 0) {
      ctx->set_output(0, grad);
      return absl::OkStatus();
    }
    if (grad.NumElements() % n != 0)
      return ToStatus(ErrorCode::kUsage, name() + ": grad of shape " + grad.shape().DebugString() + " has no equal part for each of the " +
                                             std::to_string(n) + " ids");
    std::vector<uint8_t> drop(static_cast<size_t>(n));
    gate.DecideWithoutTable(ids.flat<int64_t>().data(), drop.size(), drop.data());
    tf::Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, grad.shape(), &out));
    const int64_t width = grad.NumElements() / n;
    const float* from = grad.flat<float>().data();
    float* to = out->flat<float>().data();
    for (int64_t i = 0; i < n; ++i, from += width, to += width)
      drop[static_cast<size_t>(i)] ? (void)std::fill_n(to, width, 0.0f) : (void)std::copy_n(from, width, to);
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithHashFilter").Device(tf::DEVICE_CPU), HashFilterOp);
REGISTER_KERNEL_BUILDER(Name("MonolithProbabilisticFilter").Device(tf::DEVICE_CPU), ProbabilisticFilterOp);
REGISTER_KERNEL_BUILDER(Name("MonolithDummyHashFilter").Device(tf::DEVICE_CPU), DummyFilterOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashFilterSave").Device(tf::DEVICE_CPU), SaveOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashFilterRestore").Device(tf::DEVICE_CPU), RestoreOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashFilterInterceptGradient").Device(tf::DEVICE_CPU), InterceptOp);
REGISTER_KERNEL_BUILDER(Name("MonolithHashFilterInterceptGradientGradient").Device(tf::DEVICE_CPU), InterceptGradientOp);

}  // namespace
}  // namespace monolith
