// All layouts of a model from the rows that were looked up, in one op, and its gradient (spec 40, sections 8.3 and 8.4).
#include <algorithm>
#include <string>
#include <vector>

#include "core/layouts/embedding_lists.h"
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
using layouts::OffsetForm;
using layouts::Offsets;
using tf::shape_inference::InferenceContext;

constexpr int64_t kRowsPerUnit = 512;

struct LayoutAttributes {
  LayoutPlan plan;
  int ps_num = 1;
  OffsetForm form = OffsetForm::kFloats;
};

// Attributes of an op being built or of a kernel; they must fit the plan.
template <class Context>
absl::Status ReadAttributes(Context* ctx, LayoutAttributes* out) {
  int lists = 0, num_out = 0, version = 0;
  TF_RETURN_IF_ERROR(ReadLayoutPlan(ctx, &out->plan));
  TF_RETURN_IF_ERROR(ctx->GetAttr("M", &lists));
  TF_RETURN_IF_ERROR(ctx->GetAttr("num_out", &num_out));
  TF_RETURN_IF_ERROR(ctx->GetAttr("ps_num", &out->ps_num));
  TF_RETURN_IF_ERROR(ctx->GetAttr("version", &version));
  TF_RETURN_IF_ERROR(Guard([&] { out->form = layouts::FormOf(version); }));
  const size_t expected = layouts::NumTensors(out->plan, out->ps_num, out->form);
  if (static_cast<size_t>(lists) != expected)
    return ToStatus(ErrorCode::kUsage, std::to_string(out->plan.tables.size()) + " tables on " + std::to_string(out->ps_num) +
                                           " servers make " + std::to_string(expected) + " lists of embeddings, not " + std::to_string(lists));
  if (static_cast<size_t>(num_out) != out->plan.outputs.size())
    return ToStatus(ErrorCode::kUsage,
                    "the layouts make " + std::to_string(out->plan.outputs.size()) + " tensors, not " + std::to_string(num_out));
  return absl::OkStatus();
}

int RankOfEmbeddings(OffsetForm form) { return form == OffsetForm::kRows ? 2 : 1; }

absl::Status LayoutShapes(InferenceContext* c) {
  LayoutAttributes attributes;
  TF_RETURN_IF_ERROR(ReadAttributes(c, &attributes));
  const LayoutPlan& plan = attributes.plan;
  const int num_out = static_cast<int>(plan.outputs.size());
  const int lists = static_cast<int>(layouts::NumTensors(plan, attributes.ps_num, attributes.form));
  for (int i = 0; i < lists; ++i) TF_RETURN_IF_ERROR(CheckRanks(c, {{i, "embeddings_list", RankOfEmbeddings(attributes.form)}}));
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
    .Input("fid_list_row_splits: R * int64")
    .Input("fid_list_emb_row_length: E * int32")
    .Output("layouts: num_out * float")
    .Attr("M: int >= 1")
    .Attr("num_out: int >= 1")
    .Attr("ps_num: int >= 1 = 1")
    .Attr("feature_cfgs: string")
    .Attr("version: int = 5")
    .Attr("R: int >= 0 = 0")
    .Attr("E: int >= 0 = 0")
    .SetShapeFn(LayoutShapes)
    .Doc("Fills the layouts of `feature_cfgs`, a serialized FeatureConfigs, in sorted order of their names; a layout of type NONE is one "
         "tensor for each slice. Embeddings are those of the lists that MonolithShardFids of the same version made: matrices with version 1, "
         "else flat; fid_list_row_splits, a tensor a list, goes with version 2 alone, and fid_list_emb_row_length, one tensor, with 4.");

REGISTER_OP("MonolithEmbeddingToLayoutGrad")
    .Input("embeddings_list: M * float")
    .Input("fid_offset: uint64")
    .Input("feature_offset: int32")
    .Input("nfl_offset: uint32")
    .Input("batch_size: int32")
    .Input("fid_list_row_splits: R * int64")
    .Input("fid_list_emb_row_length: E * int32")
    .Input("grads: num_out * float")
    .Input("scale: S * float")
    .Output("embeddings_grad_list: M * float")
    .Attr("M: int >= 1")
    .Attr("num_out: int >= 1")
    .Attr("ps_num: int >= 1 = 1")
    .Attr("feature_cfgs: string")
    .Attr("version: int = 5")
    .Attr("R: int >= 0 = 0")
    .Attr("E: int >= 0 = 0")
    .Attr("S: int >= 0 = 0")
    .SetShapeFn([](InferenceContext* c) {
      int lists = 0;
      TF_RETURN_IF_ERROR(c->GetAttr("M", &lists));
      for (int i = 0; i < lists; ++i) c->set_output(i, c->input(i));
      return absl::OkStatus();
    })
    .Doc("Gradients of the layouts summed into gradients of the embeddings. The order of additions does not depend on threads. "
         "scale: one scalar by which all gradients are multiplied first.");

class LayoutKernel : public tf::OpKernel {
 public:
  explicit LayoutKernel(tf::OpKernelConstruction* ctx) : OpKernel(ctx) { OP_REQUIRES_OK(ctx, ReadAttributes(ctx, &attributes_)); }

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

  // Where the lists lie in embeddings_list.
  std::vector<layouts::ListPlace> ReadPlaces(tf::OpKernelContext* ctx) const {
    const tf::OpInputList embeddings = InputList(ctx, "embeddings_list");
    const int rank = RankOfEmbeddings(attributes_.form);
    std::vector<layouts::TensorSize> tensors;
    for (const tf::Tensor& t : embeddings) {
      if (t.dims() != rank)
        throw Error(ErrorCode::kUsage, "embeddings_list must have rank " + std::to_string(rank) + ", not the shape " + t.shape().DebugString());
      tensors.push_back({t.dim_size(0), rank == 2 ? t.dim_size(1) : 1});
    }
    layouts::ListSizes sizes;
    for (const tf::Tensor& t : InputList(ctx, "fid_list_row_splits")) {
      const auto splits = t.flat<int64_t>();
      sizes.row_splits.emplace_back(splits.data(), splits.data() + splits.size());
    }
    for (const tf::Tensor& t : InputList(ctx, "fid_list_emb_row_length")) {
      const auto floats = t.flat<int32_t>();
      sizes.floats.insert(sizes.floats.end(), floats.data(), floats.data() + floats.size());
    }
    return layouts::PlaceLists(plan_, attributes_.ps_num, attributes_.form, tensors, sizes);
  }

  static tf::OpInputList InputList(tf::OpKernelContext* ctx, const char* argument) {
    tf::OpInputList list;
    const absl::Status found = ctx->input_list(argument, &list);
    if (!found.ok()) throw Error(ErrorCode::kInternal, std::string(found.message()));
    return list;
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

  LayoutAttributes attributes_;
  const LayoutPlan& plan_ = attributes_.plan;
};

class EmbeddingToLayoutOp : public LayoutKernel {
 public:
  explicit EmbeddingToLayoutOp(tf::OpKernelConstruction* ctx) : LayoutKernel(ctx), filler_(plan_) {}

 protected:
  absl::Status Run(tf::OpKernelContext* ctx) override {
    const Offsets offsets = ReadOffsets(ctx);
    const tf::OpInputList given = InputList(ctx, "embeddings_list");
    std::vector<FloatList> embeddings;
    for (const layouts::ListPlace& p : ReadPlaces(ctx))
      embeddings.push_back({given[static_cast<int>(p.tensor)].flat<float>().data() + p.begin, p.size, p.stride});
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
    const Gradients given = ReadGradients(ctx, offsets.rows);
    const std::vector<layouts::ListPlace> places = ReadPlaces(ctx);
    std::vector<float*> tensors;
    for (int i = 0; i < InputList(ctx, "embeddings_list").size(); ++i) {
      tf::Tensor* tensor = nullptr;
      TF_RETURN_IF_ERROR(ctx->allocate_output(i, ctx->input(i).shape(), &tensor));
      tensors.push_back(tensor->flat<float>().data());
      std::fill(tensors.back(), tensors.back() + tensor->NumElements(), 0.0f);
    }
    std::vector<layouts::GradientList> grads;
    for (const layouts::ListPlace& p : places) grads.push_back({tensors[p.tensor] + p.begin, p.size, p.stride});
    const bool store_first = attributes_.form == OffsetForm::kRows || attributes_.form == OffsetForm::kFeatureRows;
    return ForEachUnit(ctx, plan_.features.size(), offsets.num_fids > kFidsWorthThreads, [&](size_t feature) {
      layouts::AddGradients(plan_, feature, offsets, given.floats.data(), grads, store_first);
    });
  }

 private:
  struct Gradients {
    std::vector<const float*> floats;         // of each output
    std::vector<std::vector<float>> scaled;  // where they are not those of the input
  };

  Gradients ReadGradients(tf::OpKernelContext* ctx, int64_t rows) const {
    const tf::OpInputList list = InputList(ctx, "grads"), scales = InputList(ctx, "scale");
    if (scales.size() > 1 || (scales.size() == 1 && scales[0].dims() != 0))
      throw Error(ErrorCode::kUsage, "scale must be one scalar, not " +
                                         (scales.size() > 1 ? std::to_string(scales.size()) + " tensors"
                                                            : "the shape " + scales[0].shape().DebugString()));
    Gradients out;
    for (size_t i = 0; i < plan_.outputs.size(); ++i) {
      const tf::Tensor& grad = list[static_cast<int>(i)];
      if (grad.shape() != ShapeOf(i, rows))
        throw Error(ErrorCode::kUsage, "layout '" + LayoutOf(i).name + "': its gradient has the shape " + grad.shape().DebugString() +
                                           ", but the layout " + ShapeOf(i, rows).DebugString());
      const float* floats = grad.flat<float>().data();
      if (scales.size() == 1) {
        out.scaled.emplace_back(floats, floats + grad.NumElements());
        for (float& x : out.scaled.back()) x *= scales[0].scalar<float>()();
        floats = out.scaled.back().data();
      }
      out.floats.push_back(floats);
    }
    return out;
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithEmbeddingToLayout").Device(tf::DEVICE_CPU), EmbeddingToLayoutOp);
REGISTER_KERNEL_BUILDER(Name("MonolithEmbeddingToLayoutGrad").Device(tf::DEVICE_CPU), EmbeddingToLayoutGradOp);

}  // namespace
}  // namespace monolith
