// Lookup and update of all features of a model, each in one op.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/pooling.h"
#include "tensorflow/scratch_pool.h"
#include "tensorflow/tables_resource.h"
#include "tensorflow/work_units.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;

// Attributes come from an op that is being built (shapes) or from a kernel: both have GetAttr.
template <class Context>
absl::Status ReadPlans(Context* ctx, std::vector<FeaturePlan>* plans) {
  std::vector<std::string> features, tables, combiners;
  std::vector<int> slice_counts, slice_dims, max_lengths;
  TF_RETURN_IF_ERROR(ctx->GetAttr("features", &features));
  TF_RETURN_IF_ERROR(ctx->GetAttr("tables", &tables));
  TF_RETURN_IF_ERROR(ctx->GetAttr("combiners", &combiners));
  TF_RETURN_IF_ERROR(ctx->GetAttr("slice_counts", &slice_counts));
  TF_RETURN_IF_ERROR(ctx->GetAttr("slice_dims", &slice_dims));
  TF_RETURN_IF_ERROR(ctx->GetAttr("max_lengths", &max_lengths));
  const size_t n = features.size();
  if (tables.size() != n || combiners.size() != n || slice_counts.size() != n || max_lengths.size() != n)
    return absl::InvalidArgumentError("attributes of the feature plan have different lengths");
  auto dim = slice_dims.begin();
  for (size_t i = 0; i < n; ++i) {
    FeaturePlan plan;
    plan.feature = features[i];
    plan.table = tables[i];
    TF_RETURN_IF_ERROR(Guard([&] { plan.combiner = ParseCombiner(combiners[i]); }));
    plan.max_length = max_lengths[i];
    if (plan.combiner == Combiner::kFirstN && plan.max_length < 1)
      return absl::InvalidArgumentError("feature '" + plan.feature + "': first_n needs a max_seq_length above 0");
    if (slice_counts[i] < 1 || slice_counts[i] > slice_dims.end() - dim)
      return absl::InvalidArgumentError("slice_dims do not fit slice_counts");
    plan.slice_dims.assign(dim, dim + slice_counts[i]);
    dim += slice_counts[i];
    if (*std::min_element(plan.slice_dims.begin(), plan.slice_dims.end()) < 1)
      return absl::InvalidArgumentError("feature '" + plan.feature + "': a slice has no width");
    plans->push_back(std::move(plan));
  }
  if (dim != slice_dims.end()) return absl::InvalidArgumentError("slice_dims do not fit slice_counts");
  return absl::OkStatus();
}

absl::Status LookupShapes(InferenceContext* c) {
  std::vector<FeaturePlan> plans;
  TF_RETURN_IF_ERROR(ReadPlans(c, &plans));
  const int n = static_cast<int>(plans.size());
  int output = 0;
  for (int i = 0; i < n; ++i) {
    tf::shape_inference::ShapeHandle splits;
    TF_RETURN_IF_ERROR(c->WithRank(c->input(1 + n + i), 1, &splits));
    tf::shape_inference::DimensionHandle rows;
    TF_RETURN_IF_ERROR(c->Subtract(c->Dim(splits, 0), 1, &rows));
    for (int dim : plans[i].slice_dims) {
      c->set_output(output++, plans[i].combiner == Combiner::kFirstN
                                  ? c->MakeShape({rows, plans[i].max_length, dim})
                                  : c->Matrix(rows, dim));
    }
  }
  return absl::OkStatus();
}

REGISTER_OP("MonolithTablesLookup")
    .Input("handle: resource")
    .Input("values: N * int64")
    .Input("row_splits: N * int64")
    .Output("embeddings: num_slices * float")
    .Attr("N: int >= 1")
    .Attr("num_slices: int >= 1")
    .Attr("features: list(string)")
    .Attr("tables: list(string)")
    .Attr("combiners: list(string)")
    .Attr("slice_counts: list(int)")
    .Attr("slice_dims: list(int)")
    .Attr("max_lengths: list(int)")
    .Attr("insert_missing: bool = false")
    .SetIsStateful()
    .SetShapeFn(LookupShapes)
    .Doc("Pooled embeddings of N features; one output per slice.");

REGISTER_OP("MonolithTablesApplyGradients")
    .Input("handle: resource")
    .Input("values: N * int64")
    .Input("row_splits: N * int64")
    .Input("grads: num_grads * float")
    .Input("learning_rates: float")
    .Input("global_step: int64")
    .Input("req_time: int64")
    .Attr("N: int >= 1")
    .Attr("num_grads: int >= 0")
    .Attr("has_grad: list(bool)")
    .Attr("features: list(string)")
    .Attr("tables: list(string)")
    .Attr("combiners: list(string)")
    .Attr("slice_counts: list(int)")
    .Attr("slice_dims: list(int)")
    .Attr("max_lengths: list(int)")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext*) { return absl::OkStatus(); })
    .Doc("Sums the gradients of equal fids in one table, then takes one optimizer step per fid. `learning_rates` has "
         "one entry per segment of every table, tables in sorted order of their names.");

absl::Status ReadIds(tf::OpKernelContext* ctx, const std::vector<FeaturePlan>& plans, std::vector<FeatureIds>* ids,
                     int64_t* total) {
  tf::OpInputList values, splits;
  TF_RETURN_IF_ERROR(ctx->input_list("values", &values));
  TF_RETURN_IF_ERROR(ctx->input_list("row_splits", &splits));
  if (values.size() != static_cast<int>(plans.size()))
    return absl::InvalidArgumentError("as many features are fed as the plan has not");
  ids->resize(plans.size());
  *total = 0;
  for (size_t i = 0; i < plans.size(); ++i) {
    const auto v = values[i].flat<int64_t>();
    const auto s = splits[i].flat<int64_t>();
    (*ids)[i].Set(plans[i], v.data(), v.size(), s.data(), s.size());
    *total += (*ids)[i].size();
  }
  return absl::OkStatus();
}

void CheckDim(const FeaturePlan& plan, const EmbeddingTable& table) {
  if (plan.dim() != table.dim())
    throw Error(ErrorCode::kConfig, "feature '" + plan.feature + "': its slices are " + std::to_string(plan.dim()) +
                                        " wide together, but table '" + plan.table + "' has rows of " +
                                        std::to_string(table.dim()));
}

class LookupOp : public TablesKernel {
 public:
  explicit LookupOp(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadPlans(ctx, &plans_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("insert_missing", &insert_missing_));
  }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    auto scratch = scratch_.Take();
    int64_t total = 0;
    TF_RETURN_IF_ERROR(ReadIds(ctx, plans_, &scratch->ids, &total));
    TF_RETURN_IF_ERROR(AllocateOutputs(ctx, scratch.get()));
    const bool threads = total > kFidsWorthThreads;
    PlanUnits(tables, threads, scratch.get());
    TF_RETURN_IF_ERROR(ForEachUnit(ctx, scratch->units.size(), threads, [&](size_t i) {
      const Unit& u = scratch->units[i];
      PoolRows(u.table, plans_[u.feature], scratch->ids[u.feature], u.begin, u.end, &scratch->outputs[u.output],
               insert_missing_);
    }));
    scratch_.Return(std::move(scratch));
    return absl::OkStatus();
  }

 private:
  // A stretch of rows of one feature.
  struct Unit {
    EmbeddingTable* table;
    size_t feature, output;
    int64_t begin, end;
  };
  struct Scratch {
    std::vector<FeatureIds> ids;
    std::vector<float*> outputs;
    std::vector<Unit> units;
  };

  absl::Status AllocateOutputs(tf::OpKernelContext* ctx, Scratch* scratch) const {
    scratch->outputs.clear();
    int output = 0;
    for (size_t i = 0; i < plans_.size(); ++i) {
      const int64_t rows = scratch->ids[i].rows();
      for (int dim : plans_[i].slice_dims) {
        tf::TensorShape shape({rows, dim});
        if (plans_[i].combiner == Combiner::kFirstN) shape.InsertDim(1, plans_[i].max_length);
        tf::Tensor* tensor = nullptr;
        TF_RETURN_IF_ERROR(ctx->allocate_output(output++, shape, &tensor));
        scratch->outputs.push_back(tensor->flat<float>().data());
      }
    }
    return absl::OkStatus();
  }

  void PlanUnits(MultiTable* tables, bool threads, Scratch* scratch) const {
    scratch->units.clear();
    size_t output = 0;
    for (size_t i = 0; i < plans_.size(); ++i) {
      EmbeddingTable& table = tables->table(TableIndex(*tables, plans_[i].table));
      CheckDim(plans_[i], table);
      const FeatureIds& ids = scratch->ids[i];
      const int64_t pieces = threads ? 1 + ids.size() / kFidsPerUnit : 1;
      for (int64_t p = 0; p < pieces; ++p) {
        const int64_t begin = ids.rows() * p / pieces, end = ids.rows() * (p + 1) / pieces;
        if (begin < end) scratch->units.push_back({&table, i, output, begin, end});
      }
      output += plans_[i].slice_dims.size();
    }
  }

  std::vector<FeaturePlan> plans_;
  bool insert_missing_ = false;
  ScratchPool<Scratch> scratch_;
};

class ApplyGradientsOp : public TablesKernel {
 public:
  explicit ApplyGradientsOp(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadPlans(ctx, &plans_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("has_grad", &has_grad_));
    size_t slices = 0;
    for (const FeaturePlan& plan : plans_) slices += plan.slice_dims.size();
    OP_REQUIRES(ctx, has_grad_.size() == slices, absl::InvalidArgumentError("has_grad needs an entry for each slice"));
  }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    const tf::Tensor *rates = nullptr, *step = nullptr, *req_time = nullptr;
    TF_RETURN_IF_ERROR(ctx->input("learning_rates", &rates));
    TF_RETURN_IF_ERROR(ctx->input("global_step", &step));
    TF_RETURN_IF_ERROR(ctx->input("req_time", &req_time));
    if (step->NumElements() != 1) return absl::InvalidArgumentError("global_step must be a scalar");
    auto scratch = scratch_.Take();
    int64_t total = 0;
    TF_RETURN_IF_ERROR(ReadIds(ctx, plans_, &scratch->ids, &total));
    TF_RETURN_IF_ERROR(ReadGrads(ctx, tables, scratch.get()));
    const std::vector<size_t> rate_of = RatesOfTables(*tables, *rates);
    const bool threads = total > kFidsWorthThreads;
    PlanUnits(ctx, threads, scratch.get());
    const uint32_t now = UpdateTime(*req_time);
    const int64_t global_step = step->flat<int64_t>()(0);
    TF_RETURN_IF_ERROR(ForEachUnit(ctx, scratch->units.size(), threads, [&](size_t i) {
      const Unit& u = scratch->units[i];
      EmbeddingTable& table = tables->table(u.table);
      auto taken = sums_.Take();
      GradientSums& sums = *taken;
      sums.Sum(scratch->by_table[u.table], table.dim(), u.part, u.parts, table.gate() != nullptr);
      table.OptimizeDistinct(sums.keys(), sums.counts(), sums.size(), sums.sums(), rates->flat<float>().data() + rate_of[u.table], now,
                             global_step);
      sums_.Return(std::move(taken));
    }));
    scratch_.Return(std::move(scratch));
    return absl::OkStatus();
  }

 private:
  // One table, or of a large batch the fids of it that fall into one partition: no two units touch the same row.
  struct Unit {
    int table;
    uint64_t part, parts;
  };
  struct Scratch {
    std::vector<FeatureIds> ids;
    std::map<int, std::vector<FeatureGrads>> by_table;
    std::vector<Unit> units;
  };

  absl::Status ReadGrads(tf::OpKernelContext* ctx, MultiTable* tables, Scratch* scratch) const {
    tf::OpInputList grads;
    TF_RETURN_IF_ERROR(ctx->input_list("grads", &grads));
    for (auto& entry : scratch->by_table) entry.second.clear();
    int next = 0;
    size_t slice = 0;
    for (size_t i = 0; i < plans_.size(); ++i) {
      const FeaturePlan& plan = plans_[i];
      FeatureGrads feature{&plan, &scratch->ids[i], {}};
      bool any = false;
      for (size_t s = 0; s < plan.slice_dims.size(); ++s) {
        const bool has = has_grad_[slice++];
        feature.grads.push_back(nullptr);
        if (!has) continue;
        if (next == grads.size()) return absl::InvalidArgumentError("fewer gradients are fed than has_grad says");
        const tf::Tensor& grad = grads[next++];
        const int64_t expected = scratch->ids[i].rows() * plan.slice_width(s);
        if (grad.NumElements() != expected)
          return ToStatus(ErrorCode::kUsage, "feature '" + plan.feature + "', slice " + std::to_string(s) +
                                                 ": its gradient has the shape " + grad.shape().DebugString() +
                                                 ", which is not that of its embedding");
        feature.grads.back() = grad.flat<float>().data();
        any = true;
      }
      const int table = TableIndex(*tables, plan.table);
      CheckDim(plan, tables->table(table));
      if (any) scratch->by_table[table].push_back(std::move(feature));
    }
    return absl::OkStatus();
  }

  // Where the rates of each table begin.
  static std::vector<size_t> RatesOfTables(MultiTable& tables, const tf::Tensor& rates) {
    std::vector<size_t> begin;
    size_t segments = 0;
    for (size_t t = 0; t < tables.num_tables(); ++t) {
      begin.push_back(segments);
      segments += tables.table(t).config().segments.size();
    }
    if (static_cast<size_t>(rates.NumElements()) != segments)
      throw Error(ErrorCode::kUsage, "there are " + std::to_string(rates.NumElements()) +
                                         " learning rates, but the tables have " + std::to_string(segments) +
                                         " segments");
    return begin;
  }

  static void PlanUnits(tf::OpKernelContext* ctx, bool threads, Scratch* scratch) {
    const int64_t workers = ctx->device()->tensorflow_cpu_worker_threads()->num_threads;
    scratch->units.clear();
    for (const auto& [table, features] : scratch->by_table) {
      int64_t fids = 0;
      for (const FeatureGrads& f : features) fids += f.ids->size();
      const uint64_t parts = threads ? std::clamp<int64_t>(fids / kFidsPerUnit, 1, workers) : 1;
      for (uint64_t part = 0; fids && part < parts; ++part) scratch->units.push_back({table, part, parts});
    }
  }

  std::vector<FeaturePlan> plans_;
  std::vector<bool> has_grad_;
  ScratchPool<Scratch> scratch_;
  ScratchPool<GradientSums> sums_;  // one for each thread at work: what one unit used is near for the next
};

REGISTER_KERNEL_BUILDER(Name("MonolithTablesLookup").Device(tf::DEVICE_CPU), LookupOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesApplyGradients").Device(tf::DEVICE_CPU), ApplyGradientsOp);

}  // namespace
}  // namespace monolith
