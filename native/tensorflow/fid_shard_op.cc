// Ragged fids of all features -> lists for each table and server, and where the embedding of each fid will lie (spec 40, section 8.2).
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/layouts/fid_shards.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/layout_op_attrs.h"
#include "tensorflow/op_checks.h"
#include "tensorflow/scratch_pool.h"
#include "tensorflow/work_units.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using layouts::FidShards;
using layouts::LayoutPlan;
using tf::shape_inference::InferenceContext;

absl::Status CheckCounts(const LayoutPlan& plan, int features, int lists, int ps_num, size_t shared) {
  if (static_cast<size_t>(features) != plan.features.size() || shared != plan.features.size())
    return ToStatus(ErrorCode::kUsage, std::to_string(plan.features.size()) + " features are configured, but fids of " +
                                           std::to_string(features) + " are given");
  if (static_cast<size_t>(lists) != plan.tables.size() * static_cast<size_t>(ps_num))
    return ToStatus(ErrorCode::kUsage, std::to_string(plan.tables.size()) + " tables on " + std::to_string(ps_num) +
                                           " servers do not make " + std::to_string(lists) + " lists");
  return absl::OkStatus();
}

absl::Status ShardShapes(InferenceContext* c) {
  LayoutPlan plan;
  TF_RETURN_IF_ERROR(ReadLayoutPlan(c, &plan));
  int features = 0, lists = 0, ps_num = 0;
  std::vector<bool> shared;
  TF_RETURN_IF_ERROR(c->GetAttr("num_features", &features));
  TF_RETURN_IF_ERROR(c->GetAttr("N", &lists));
  TF_RETURN_IF_ERROR(c->GetAttr("ps_num", &ps_num));
  TF_RETURN_IF_ERROR(c->GetAttr("shared", &shared));
  TF_RETURN_IF_ERROR(CheckCounts(plan, features, lists, ps_num, shared.size()));
  std::vector<int64_t> in_table(plan.tables.size(), 0);
  for (const layouts::Feature& f : plan.features) ++in_table[f.table];
  for (int i = 0; i < lists; ++i) {
    c->set_output(i, c->Vector(c->UnknownDim()));
    c->set_output(lists + i, c->Vector(in_table[static_cast<size_t>(i / ps_num)] + 1));
    c->set_output(2 * lists + i, c->Vector(1));
  }
  c->set_output(3 * lists, c->Vector(c->UnknownDim()));
  c->set_output(3 * lists + 1, c->Vector(c->UnknownDim()));
  c->set_output(3 * lists + 2, c->Vector(features + 1));
  for (int i = 3; i < 7; ++i) c->set_output(3 * lists + i, c->Vector(1));
  c->set_output(3 * lists + 7, c->Vector(lists));
  return absl::OkStatus();
}

REGISTER_OP("MonolithShardFids")
    .Input("values: num_features * int64")
    .Input("row_splits: num_features * int64")
    .Output("fid_list: N * int64")
    .Output("fid_list_row_splits: N * int64")
    .Output("fid_list_row_splits_size: N * int32")
    .Output("fid_offset: uint64")
    .Output("feature_offset: int32")
    .Output("nfl_offset: uint32")
    .Output("batch_size: int32")
    .Output("nfl_size: int32")
    .Output("feature_size: int32")
    .Output("fid_size: int32")
    .Output("emb_size: int32")
    .Attr("num_features: int >= 1")
    .Attr("N: int >= 1")
    .Attr("ps_num: int >= 1 = 1")
    .Attr("unique: bool = true")
    .Attr("shared: list(bool)")
    .Attr("feature_cfgs: string")
    .SetShapeFn(ShardShapes)
    .Doc("Features in sorted order of their names. List t * ps_num + p has the fids of table t on server p.");

class ShardFidsOp : public tf::OpKernel {
 public:
  explicit ShardFidsOp(tf::OpKernelConstruction* ctx) : OpKernel(ctx) {
    int features = 0, lists = 0;
    OP_REQUIRES_OK(ctx, ReadLayoutPlan(ctx, &plan_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_features", &features));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &lists));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("ps_num", &ps_num_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("unique", &unique_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shared", &shared_));
    OP_REQUIRES_OK(ctx, CheckCounts(plan_, features, lists, ps_num_, shared_.size()));
  }

  void Compute(tf::OpKernelContext* ctx) override {
    absl::Status inner;
    OP_REQUIRES_OK(ctx, Guard([&] { inner = Run(ctx); }));
    OP_REQUIRES_OK(ctx, inner);
  }

 private:
  struct Scratch {
    layouts::FidSharder sharder;
    FidShards shards;
    std::vector<layouts::FidPlaces> places;
  };

  absl::Status Run(tf::OpKernelContext* ctx) {
    auto scratch = scratch_.Take();
    std::vector<layouts::FidRows> features;
    TF_RETURN_IF_ERROR(ReadFeatures(ctx, &features));
    layouts::FidSharder& sharder = scratch->sharder;
    sharder.Plan(plan_, ps_num_, unique_, std::move(features));
    const int lists = static_cast<int>(plan_.tables.size()) * ps_num_;
    tf::Tensor* offset = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(3 * lists, {sharder.num_fids()}, &offset));
    uint64_t* fid_offset = offset->flat<uint64_t>().data();
    const bool threads = sharder.num_fids() > kFidsWorthThreads;
    scratch->places.resize(threads ? plan_.features.size() : 1);
    TF_RETURN_IF_ERROR(ForEachUnit(ctx, plan_.features.size(), threads, [&](size_t f) {
      sharder.Place(f, &scratch->places[threads ? f : 0], fid_offset);
    }));
    sharder.Join(fid_offset, &scratch->shards);
    TF_RETURN_IF_ERROR(WriteShards(ctx, lists, scratch->shards, sharder.rows(), sharder.num_fids()));
    scratch_.Return(std::move(scratch));
    return absl::OkStatus();
  }

  absl::Status ReadFeatures(tf::OpKernelContext* ctx, std::vector<layouts::FidRows>* out) const {
    tf::OpInputList values, splits;
    TF_RETURN_IF_ERROR(ctx->input_list("values", &values));
    TF_RETURN_IF_ERROR(ctx->input_list("row_splits", &splits));
    for (int i = 0; i < values.size(); ++i) {
      const auto v = values[i].flat<int64_t>(), s = splits[i].flat<int64_t>();
      out->push_back({v.data(), v.size(), s.data(), s.size(), shared_[static_cast<size_t>(i)]});
    }
    return absl::OkStatus();
  }

  template <class To, class From>
  static absl::Status Write(tf::OpKernelContext* ctx, int output, const std::vector<From>& from) {
    tf::Tensor* tensor = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(output, {static_cast<int64_t>(from.size())}, &tensor));
    std::copy(from.begin(), from.end(), tensor->flat<To>().data());
    return absl::OkStatus();
  }

  static absl::Status WriteShards(tf::OpKernelContext* ctx, int lists, const FidShards& shards, int64_t rows, int64_t fids) {
    for (int i = 0; i < lists; ++i) {
      const auto& splits = shards.row_splits[static_cast<size_t>(i)];
      TF_RETURN_IF_ERROR(Write<int64_t>(ctx, i, shards.fids[static_cast<size_t>(i)]));
      TF_RETURN_IF_ERROR(Write<int64_t>(ctx, lists + i, splits));
      TF_RETURN_IF_ERROR(Write<int32_t>(ctx, 2 * lists + i, std::vector<size_t>{splits.size()}));
    }
    TF_RETURN_IF_ERROR(Write<int32_t>(ctx, 3 * lists + 1, shards.feature_offset));
    TF_RETURN_IF_ERROR(Write<uint32_t>(ctx, 3 * lists + 2, shards.nfl_offset));
    const int64_t sizes[] = {rows, static_cast<int64_t>(shards.nfl_offset.size()), static_cast<int64_t>(shards.feature_offset.size()), fids};
    for (int i = 0; i < 4; ++i) TF_RETURN_IF_ERROR(Write<int32_t>(ctx, 3 * lists + 3 + i, std::vector<int64_t>{sizes[i]}));
    return Write<int32_t>(ctx, 3 * lists + 7, shards.floats);
  }

  LayoutPlan plan_;
  int ps_num_ = 1;
  bool unique_ = true;
  std::vector<bool> shared_;
  ScratchPool<Scratch> scratch_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithShardFids").Device(tf::DEVICE_CPU), ShardFidsOp);

}  // namespace
}  // namespace monolith
