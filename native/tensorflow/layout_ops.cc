// All layouts of a model from the rows that were looked up, in one op, and its gradient (spec 40, sections 8.3 and 8.4).
#include <algorithm>
#include <string>
#include <vector>

#include "core/layouts/layout_fill.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/layout_op_attrs.h"
#include "tensorflow/op_checks.h"
#include "tensorflow/work_units.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using layouts::FloatList;
using layouts::LayoutPlan;
using layouts::Offsets;
using tf::shape_inference::InferenceContext;

constexpr int64_t kRowsPerUnit = 512;

// The attributes must fit the plan; inputs after `lists` lists are those that both ops have.
absl::Status CheckAttributes(const LayoutPlan& plan, int lists, int ps_num, int num_out) {
  const size_t expected = plan.tables.size() * static_cast<size_t>(ps_num);
  if (static_cast<size_t>(lists) != expected)
    return ToStatus(ErrorCode::kUsage, std::to_string(plan.tables.size()) + " tables on " + std::to_string(ps_num) + " servers make " +
                                           std::to_string(expected) + " lists of embeddings, not " + std::to_string(lists));
  if (static_cast<size_t>(num_out) != plan.outputs.size())
    return ToStatus(ErrorCode::kUsage, "the layouts make " + std::to_string(plan.outputs.size()) + " tensors, not " + std::to_string(num_out));
  return absl::OkStatus();
}

absl::Status LayoutShapes(InferenceContext* c) {
  LayoutPlan plan;
  TF_RETURN_IF_ERROR(ReadLayoutPlan(c, &plan));
  int lists = 0, num_out = 0, ps_num = 0;
  TF_RETURN_IF_ERROR(c->GetAttr("M", &lists));
  TF_RETURN_IF_ERROR(c->GetAttr("num_out", &num_out));
  TF_RETURN_IF_ERROR(c->GetAttr("ps_num", &ps_num));
  TF_RETURN_IF_ERROR(CheckAttributes(plan, lists, ps_num, num_out));
  for (int i = 0; i < lists; ++i) TF_RETURN_IF_ERROR(CheckRanks(c, {{i, "embeddings_list", 1}}));
  TF_RETURN_IF_ERROR(CheckRanks(c, {{lists, "fid_offset", 1}, {lists + 1, "feature_offset", 1}, {lists + 2, "nfl_offset", 1}}));
  auto rows = c->UnknownDim();
  if (const tf::Tensor* size = c->input_tensor(lists + 3); size && size->NumElements() == 1) rows = c->MakeDim(size->flat<int32_t>()(0));
  for (int i = 0; i < num_out; ++i) {
    std::vector<tf::shape_inference::DimensionHandle> dims;
    for (int64_t dim : plan.outputs[static_cast<size_t>(i)].dims) dims.push_back(c->MakeDim(dim));
    if (plan.outputs[static_cast<size_t>(i)].dims[0] < 0) dims[0] = rows;
    c->set_output(i, c->MakeShape(dims));
  }
  return absl::OkStatus();
}

REGISTER_OP("MonolithEmbeddingToLayout")
    .Input("embeddings_list: M * float")
    .Input("fid_offset: uint64")
    .Input("feature_offset: int32")
    .Input("nfl_offset: uint32")
    .Input("batch_size: int32")
    .Output("layouts: num_out * float")
    .Attr("M: int >= 1")
    .Attr("num_out: int >= 1")
    .Attr("ps_num: int >= 1 = 1")
    .Attr("feature_cfgs: string")
    .SetShapeFn(LayoutShapes)
    .Doc("Fills the layouts of `feature_cfgs`, a serialized FeatureConfigs, in sorted order of their names; a layout of type NONE is one "
         "tensor for each slice.");

REGISTER_OP("MonolithEmbeddingToLayoutGrad")
    .Input("embeddings_list: M * float")
    .Input("fid_offset: uint64")
    .Input("feature_offset: int32")
    .Input("nfl_offset: uint32")
    .Input("batch_size: int32")
    .Input("grads: num_out * float")
    .Output("embeddings_grad_list: M * float")
    .Attr("M: int >= 1")
    .Attr("num_out: int >= 1")
    .Attr("ps_num: int >= 1 = 1")
    .Attr("feature_cfgs: string")
    .SetShapeFn([](InferenceContext* c) {
      int lists = 0;
      TF_RETURN_IF_ERROR(c->GetAttr("M", &lists));
      for (int i = 0; i < lists; ++i) c->set_output(i, c->input(i));
      return absl::OkStatus();
    })
    .Doc("Gradients of the layouts summed into gradients of the embeddings. The order of additions does not depend on threads.");

class LayoutKernel : public tf::OpKernel {
 public:
  explicit LayoutKernel(tf::OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadLayoutPlan(ctx, &plan_));
    int lists = 0, num_out = 0, ps_num = 0;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("M", &lists));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_out", &num_out));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("ps_num", &ps_num));
    OP_REQUIRES_OK(ctx, CheckAttributes(plan_, lists, ps_num, num_out));
  }

  void Compute(tf::OpKernelContext* ctx) override {
    absl::Status inner;
    OP_REQUIRES_OK(ctx, Guard([&] { inner = Run(ctx); }));
    OP_REQUIRES_OK(ctx, inner);
  }

 protected:
  virtual absl::Status Run(tf::OpKernelContext* ctx) = 0;

  Offsets ReadOffsets(tf::OpKernelContext* ctx) const {
    Offsets out;
    const tf::Tensor& fid = InputOfRank(ctx, "fid_offset", 1);
    const tf::Tensor& feature = InputOfRank(ctx, "feature_offset", 1);
    const tf::Tensor& nfl = InputOfRank(ctx, "nfl_offset", 1);
    const tf::Tensor* rows = nullptr;
    if (!ctx->input("batch_size", &rows).ok() || rows->NumElements() != 1)
      throw Error(ErrorCode::kUsage, "batch_size must be one number: layouts of several requests at once are not made");
    out.fid = fid.flat<uint64_t>().data();
    out.num_fids = fid.NumElements();
    out.feature = feature.flat<int32_t>().data();
    out.num_runs = feature.NumElements();
    out.nfl = nfl.flat<uint32_t>().data();
    out.rows = rows->flat<int32_t>()(0);
    if (out.rows < 0) throw Error(ErrorCode::kUsage, "batch_size is " + std::to_string(out.rows));
    if (static_cast<size_t>(nfl.NumElements()) != plan_.features.size() + 1)
      throw Error(ErrorCode::kUsage, "nfl_offset has " + std::to_string(nfl.NumElements()) + " entries, but " +
                                         std::to_string(plan_.features.size()) + " features need one more than they are");
    return out;
  }

  static std::vector<FloatList> ReadEmbeddings(tf::OpKernelContext* ctx) {
    tf::OpInputList lists;
    if (!ctx->input_list("embeddings_list", &lists).ok()) throw Error(ErrorCode::kInternal, "the op has no embeddings_list");
    std::vector<FloatList> out;
    for (const tf::Tensor& list : lists) out.push_back({list.flat<float>().data(), list.NumElements()});
    return out;
  }

  tf::TensorShape ShapeOf(size_t output, int64_t rows) const {
    const std::vector<int64_t>& dims = plan_.outputs[output].dims;
    if (dims[0] >= 0 && dims[0] != rows) {
      const layouts::Layout& layout = LayoutOf(output);
      throw Error(ErrorCode::kUsage, "layout '" + layout.name + "' is of " + std::to_string(dims[0]) +
                                         " rows, but the batch has " + std::to_string(rows));
    }
    tf::TensorShape shape({rows});
    for (size_t i = 1; i < dims.size(); ++i) shape.AddDim(dims[i]);
    return shape;
  }

  const layouts::Layout& LayoutOf(size_t output) const {
    for (const layouts::Layout& layout : plan_.layouts)
      if (output < layout.first_output + layout.num_outputs) return layout;
    throw Error(ErrorCode::kInternal, "an output without a layout");
  }

  LayoutPlan plan_;
};

class EmbeddingToLayoutOp : public LayoutKernel {
 public:
  explicit EmbeddingToLayoutOp(tf::OpKernelConstruction* ctx) : LayoutKernel(ctx), filler_(plan_) {}

 protected:
  absl::Status Run(tf::OpKernelContext* ctx) override {
    const Offsets offsets = ReadOffsets(ctx);
    const std::vector<FloatList> embeddings = ReadEmbeddings(ctx);
    std::vector<float*> outputs;
    for (size_t i = 0; i < plan_.outputs.size(); ++i) {
      tf::Tensor* tensor = nullptr;
      TF_RETURN_IF_ERROR(ctx->allocate_output(static_cast<int>(i), ShapeOf(i, offsets.rows), &tensor));
      outputs.push_back(tensor->flat<float>().data());
    }
    const bool threads = offsets.num_fids > kFidsWorthThreads;
    const int64_t step = threads ? kRowsPerUnit : std::max<int64_t>(offsets.rows, 1);
    const int64_t units = (offsets.rows + step - 1) / step;
    return ForEachUnit(ctx, static_cast<size_t>(units), threads, [&](size_t unit) {
      const int64_t begin = static_cast<int64_t>(unit) * step;
      filler_.Fill(offsets, embeddings, begin, std::min(begin + step, offsets.rows), outputs.data());
    });
  }

 private:
  layouts::LayoutFiller filler_;
};

class EmbeddingToLayoutGradOp : public LayoutKernel {
 public:
  using LayoutKernel::LayoutKernel;

 protected:
  absl::Status Run(tf::OpKernelContext* ctx) override {
    const Offsets offsets = ReadOffsets(ctx);
    const std::vector<FloatList> embeddings = ReadEmbeddings(ctx);
    const std::vector<const float*> from = ReadGradients(ctx, offsets.rows);
    std::vector<layouts::GradientList> grads;
    for (size_t i = 0; i < embeddings.size(); ++i) {
      tf::Tensor* tensor = nullptr;
      TF_RETURN_IF_ERROR(ctx->allocate_output(static_cast<int>(i), ctx->input(static_cast<int>(i)).shape(), &tensor));
      grads.push_back({tensor->flat<float>().data(), embeddings[i].size});
      std::fill(grads.back().floats, grads.back().floats + grads.back().size, 0.0f);
    }
    return ForEachUnit(ctx, plan_.features.size(), offsets.num_fids > kFidsWorthThreads, [&](size_t feature) {
      layouts::AddGradients(plan_, feature, offsets, from.data(), grads);
    });
  }

 private:
  std::vector<const float*> ReadGradients(tf::OpKernelContext* ctx, int64_t rows) const {
    tf::OpInputList list;
    if (!ctx->input_list("grads", &list).ok()) throw Error(ErrorCode::kInternal, "the op has no grads");
    std::vector<const float*> out;
    for (size_t i = 0; i < plan_.outputs.size(); ++i) {
      const tf::Tensor& grad = list[static_cast<int>(i)];
      if (grad.shape() != ShapeOf(i, rows))
        throw Error(ErrorCode::kUsage, "layout '" + LayoutOf(i).name + "': its gradient has the shape " + grad.shape().DebugString() +
                                           ", but the layout " + ShapeOf(i, rows).DebugString());
      out.push_back(grad.flat<float>().data());
    }
    return out;
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithEmbeddingToLayout").Device(tf::DEVICE_CPU), EmbeddingToLayoutOp);
REGISTER_KERNEL_BUILDER(Name("MonolithEmbeddingToLayoutGrad").Device(tf::DEVICE_CPU), EmbeddingToLayoutGradOp);

}  // namespace
}  // namespace monolith
