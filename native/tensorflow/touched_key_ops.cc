// Sets of touched keys in a graph (spec 30, section 9).
#include <algorithm>
#include <string>

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/resource_op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/filter_resource.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;

REGISTER_OP("MonolithTouchedKeySet")
    .Output("handle: resource")
    .Attr("capacity: int = 2097152")
    .Attr("concurrency_level: int = 1024")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(tf::shape_inference::ScalarShape)
    .Doc("The keys that changed since the last steal; it empties itself before it would hold more than capacity + 1.");

REGISTER_OP("MonolithTouchedKeySetInsert")
    .Input("handle: resource")
    .Input("ids: int64")
    .Output("size: int64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      tf::shape_inference::ShapeHandle ids;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &ids));
      c->set_output(0, c->Vector(1));
      return absl::OkStatus();
    })
    .Doc("Inserts ids; how many keys were dropped to make room.");

REGISTER_OP("MonolithTouchedKeySetSteal")
    .Input("handle: resource")
    .Output("ids: int64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc("All keys, in no order; the set is empty then.");

class TouchedKeySetOp : public tf::ResourceOpKernel<TouchedResource> {
 public:
  explicit TouchedKeySetOp(tf::OpKernelConstruction* ctx) : ResourceOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("capacity", &capacity_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("concurrency_level", &concurrency_level_));
  }

 private:
  absl::Status CreateResource(TouchedResource** resource) override {
    return Guard([&] { *resource = new TouchedResource(std::make_shared<TouchedKeySet>(capacity_, concurrency_level_)); });
  }
  int64_t capacity_ = 0, concurrency_level_ = 0;
};

// A kernel whose first input is the handle of a set.
class TouchedKernel : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* ctx) override {
    tf::core::RefCountPtr<TouchedResource> resource;
    OP_REQUIRES_OK(ctx, tf::LookupResource(ctx, tf::HandleFromInput(ctx, 0), &resource));
    OP_REQUIRES_OK(ctx, Run(ctx, resource->keys().get()));
  }

 protected:
  virtual absl::Status Run(tf::OpKernelContext* ctx, TouchedKeySet* keys) = 0;
};

class InsertOp : public TouchedKernel {
 public:
  using TouchedKernel::TouchedKernel;

 private:
  absl::Status Run(tf::OpKernelContext* ctx, TouchedKeySet* keys) override {
    const auto ids = ctx->input(1).flat<int64_t>();
    tf::Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {1}, &out));
    out->flat<int64_t>()(0) = static_cast<int64_t>(keys->Insert(ids.data(), static_cast<size_t>(ids.size())));
    return absl::OkStatus();
  }
};

class StealOp : public TouchedKernel {
 public:
  using TouchedKernel::TouchedKernel;

 private:
  absl::Status Run(tf::OpKernelContext* ctx, TouchedKeySet* keys) override {
    const auto entries = keys->Steal();
    tf::Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {static_cast<int64_t>(entries.size())}, &out));
    std::transform(entries.begin(), entries.end(), out->flat<int64_t>().data(), [](const TouchedKeySet::Entry& e) { return e.key; });
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithTouchedKeySet").Device(tf::DEVICE_CPU), TouchedKeySetOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTouchedKeySetInsert").Device(tf::DEVICE_CPU), InsertOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTouchedKeySetSteal").Device(tf::DEVICE_CPU), StealOp);

}  // namespace
}  // namespace monolith
