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
using layouts::OffsetForm;
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

// The last outputs of both ops, from `first` on: offsets and the rows of the batch.
void SetOffsetShapes(InferenceContext* c, int first, int features, bool scalar_size) {
  c->set_output(first, c->Vector(c->UnknownDim()));
  c->set_output(first + 1, c->Vector(c->UnknownDim()));
  c->set_output(first + 2, c->Vector(features + 1));
  c->set_output(first + 3, scalar_size ? c->Scalar() : c->Vector(1));
}

absl::Status FlatShapes(InferenceContext* c) {
  LayoutPlan plan;
  TF_RETURN_IF_ERROR(ReadLayoutPlan(c, &plan));
  int features = 0, ps_num = 0;
  std::vector<bool> shared;
  TF_RETURN_IF_ERROR(c->GetAttr("num_features", &features));
  TF_RETURN_IF_ERROR(c->GetAttr("ps_num", &ps_num));
  TF_RETURN_IF_ERROR(c->GetAttr("shared", &shared));
  const int64_t lists = static_cast<int64_t>(plan.tables.size()) * ps_num;
  TF_RETURN_IF_ERROR(CheckCounts(plan, features, static_cast<int>(lists), ps_num, shared.size()));
  c->set_output(0, c->Vector(c->UnknownDim()));
  c->set_output(1, c->Vector((static_cast<int64_t>(plan.features.size() + plan.tables.size())) * ps_num));
  c->set_output(2, c->Vector(lists));
  c->set_output(3, c->Vector(ps_num));
  c->set_output(4, c->Vector(lists));
  SetOffsetShapes(c, 5, features, true);
  return absl::OkStatus();
}

absl::Status ShardShapes(InferenceContext* c) {
  LayoutPlan plan;
  TF_RETURN_IF_ERROR(ReadLayoutPlan(c, &plan));
  int features = 0, lists = 0, ps_num = 0, version = 0;
  TF_RETURN_IF_ERROR(c->GetAttr("version", &version));
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
  SetOffsetShapes(c, 3 * lists, features, version < 5);
  for (int i = 4; i < 7; ++i) c->set_output(3 * lists + i, c->Vector(1));
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
    .Attr("version: int = 5")
    .SetShapeFn(ShardShapes)
    .Doc("Features in sorted order of their names. List t * ps_num + p has the fids of table t on server p. Versions 1, 2, 3 and 5 differ in "
         "what fid_offset counts; batch_size of versions before 5 is a scalar, and emb_size of versions 1 and 2 is 0.");

REGISTER_OP("MonolithShardFidsFlat")
    .Input("values: num_features * int64")
    .Input("row_splits: num_features * int64")
    .Output("fid_list: int64")
    .Output("fid_list_row_splits: int64")
    .Output("fid_list_table_row_length: int32")
    .Output("fid_list_shard_row_length: int32")
    .Output("fid_list_emb_row_length: int32")
    .Output("fid_offset: uint64")
    .Output("feature_offset: int32")
    .Output("nfl_offset: uint32")
    .Output("batch_size: int32")
    .Attr("num_features: int >= 1")
    .Attr("ps_num: int >= 1 = 1")
    .Attr("unique: bool = true")
    .Attr("shared: list(bool)")
    .Attr("feature_cfgs: string")
    .SetShapeFn(FlatShapes)
    .Doc("Version 4: the lists one after the other, those of a server together, in the order of its tables. Their fids by list and by "
         "server, and the floats of their embeddings.");

class ShardKernel : public tf::OpKernel {
 public:
  explicit ShardKernel(tf::OpKernelConstruction* ctx) : OpKernel(ctx) {
    int features = 0;
    OP_REQUIRES_OK(ctx, ReadLayoutPlan(ctx, &plan_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_features", &features));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("ps_num", &ps_num_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("unique", &unique_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shared", &shared_));
    lists_ = static_cast<int>(plan_.tables.size()) * ps_num_;
    OP_REQUIRES_OK(ctx, CheckCounts(plan_, features, lists_, ps_num_, shared_.size()));
  }

  void Compute(tf::OpKernelContext* ctx) override {
    absl::Status inner;
    OP_REQUIRES_OK(ctx, Guard([&] { inner = Run(ctx); }));
    OP_REQUIRES_OK(ctx, inner);
  }

 protected:
  // Outputs of the lists, and of what follows the offsets and the rows of the batch. first_offset_: the output of fid_offset.
  virtual absl::Status WriteLists(tf::OpKernelContext* ctx, const FidShards& shards, int64_t fids) const = 0;

  template <class To, class From>
  static absl::Status Write(tf::OpKernelContext* ctx, int output, const std::vector<From>& from) {
    tf::Tensor* tensor = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(output, {static_cast<int64_t>(from.size())}, &tensor));
    std::copy(from.begin(), from.end(), tensor->flat<To>().data());
    return absl::OkStatus();
  }

  LayoutPlan plan_;
  int ps_num_ = 1, lists_ = 0, first_offset_ = 0;
  bool scalar_size_ = false;
  OffsetForm form_ = OffsetForm::kFloats;

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
    sharder.Plan(plan_, ps_num_, unique_, std::move(features), form_);
    tf::Tensor* offset = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(first_offset_, {sharder.num_fids()}, &offset));
    uint64_t* fid_offset = offset->flat<uint64_t>().data();
    const bool threads = sharder.num_fids() > kFidsWorthThreads;
    scratch->places.resize(threads ? plan_.features.size() : 1);
    TF_RETURN_IF_ERROR(ForEachUnit(ctx, plan_.features.size(), threads, [&](size_t f) {
      sharder.Place(f, &scratch->places[threads ? f : 0], fid_offset);
    }));
    sharder.Join(fid_offset, &scratch->shards);
    TF_RETURN_IF_ERROR(WriteOffsets(ctx, scratch->shards, sharder.rows()));
    TF_RETURN_IF_ERROR(WriteLists(ctx, scratch->shards, sharder.num_fids()));
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

  absl::Status WriteOffsets(tf::OpKernelContext* ctx, const FidShards& shards, int64_t rows) const {
    TF_RETURN_IF_ERROR(Write<int32_t>(ctx, first_offset_ + 1, shards.feature_offset));
    TF_RETURN_IF_ERROR(Write<uint32_t>(ctx, first_offset_ + 2, shards.nfl_offset));
    tf::Tensor* size = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(first_offset_ + 3, scalar_size_ ? tf::TensorShape({}) : tf::TensorShape({1}), &size));
    size->flat<int32_t>()(0) = static_cast<int32_t>(rows);
    return absl::OkStatus();
  }

  bool unique_ = true;
  std::vector<bool> shared_;
  ScratchPool<Scratch> scratch_;
};

class ShardFidsOp : public ShardKernel {
 public:
  explicit ShardFidsOp(tf::OpKernelConstruction* ctx) : ShardKernel(ctx) {
    int lists = 0, version = 0;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &lists));
    OP_REQUIRES_OK(ctx, CheckCounts(plan_, static_cast<int>(plan_.features.size()), lists, ps_num_, plan_.features.size()));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("version", &version));
    OP_REQUIRES_OK(ctx, Guard([&] { form_ = layouts::FormOf(version); }));
    OP_REQUIRES(ctx, form_ != OffsetForm::kFlatFloats, ToStatus(ErrorCode::kUsage, "version 4 of fids is made by MonolithShardFidsFlat"));
    first_offset_ = 3 * lists;
    scalar_size_ = version < 5;
  }

 protected:
  absl::Status WriteLists(tf::OpKernelContext* ctx, const FidShards& shards, int64_t fids) const override {
    for (int i = 0; i < lists_; ++i) {
      const auto& splits = shards.row_splits[static_cast<size_t>(i)];
      TF_RETURN_IF_ERROR(Write<int64_t>(ctx, i, shards.fids[static_cast<size_t>(i)]));
      TF_RETURN_IF_ERROR(Write<int64_t>(ctx, lists_ + i, splits));
      TF_RETURN_IF_ERROR(Write<int32_t>(ctx, 2 * lists_ + i, std::vector<size_t>{splits.size()}));
    }
    const int64_t sizes[] = {static_cast<int64_t>(shards.nfl_offset.size()), static_cast<int64_t>(shards.feature_offset.size()), fids};
    for (int i = 0; i < 3; ++i) TF_RETURN_IF_ERROR(Write<int32_t>(ctx, first_offset_ + 4 + i, std::vector<int64_t>{sizes[i]}));
    return Write<int32_t>(ctx, first_offset_ + 7, shards.floats);
  }
};

class ShardFidsFlatOp : public ShardKernel {
 public:
  explicit ShardFidsFlatOp(tf::OpKernelConstruction* ctx) : ShardKernel(ctx) {
    form_ = OffsetForm::kFlatFloats;
    first_offset_ = 5;
    scalar_size_ = true;
  }

 protected:
  absl::Status WriteLists(tf::OpKernelContext* ctx, const FidShards& shards, int64_t) const override {
    const size_t tables = plan_.tables.size(), servers = static_cast<size_t>(ps_num_);
    std::vector<int64_t> fids, splits, by_list, by_server(servers, 0);
    std::vector<int32_t> floats;
    for (size_t p = 0; p < servers; ++p) {
      for (size_t t = 0; t < tables; ++t) {
        const size_t list = t * servers + p;
        fids.insert(fids.end(), shards.fids[list].begin(), shards.fids[list].end());
        splits.insert(splits.end(), shards.row_splits[list].begin(), shards.row_splits[list].end());
        by_list.push_back(static_cast<int64_t>(shards.fids[list].size()));
        by_server[p] += by_list.back();
        floats.push_back(shards.floats[list]);
      }
    }
    TF_RETURN_IF_ERROR(Write<int64_t>(ctx, 0, fids));
    TF_RETURN_IF_ERROR(Write<int64_t>(ctx, 1, splits));
    TF_RETURN_IF_ERROR(Write<int32_t>(ctx, 2, by_list));
    TF_RETURN_IF_ERROR(Write<int32_t>(ctx, 3, by_server));
    return Write<int32_t>(ctx, 4, floats);
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithShardFids").Device(tf::DEVICE_CPU), ShardFidsOp);
REGISTER_KERNEL_BUILDER(Name("MonolithShardFidsFlat").Device(tf::DEVICE_CPU), ShardFidsFlatOp);

}  // namespace
}  // namespace monolith
