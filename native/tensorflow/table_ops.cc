// The resource of all tables of a model, and what is done to one table or to all at once outside a training step.
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/tables/checkpoint.h"

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/resource_op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/filter_resource.h"
#include "tensorflow/tables_resource.h"
#include "tensorflow/work_units.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;

REGISTER_OP("MonolithTables")
    .Input("filters: num_filters * resource")
    .Input("touched: num_touched * resource")
    .Output("handle: resource")
    .Attr("num_filters: int >= 0")
    .Attr("num_touched: int >= 0")
    .Attr("thresholds: list(string)")
    .Attr("names: list(string) >= 1")
    .Attr("configs: list(string) >= 1")
    .Attr("seed: int = 0")
    .Attr("container: string = ''")
    .Attr("shared_name: string")
    .SetIsStateful()
    .SetShapeFn(tf::shape_inference::ScalarShape)
    .Doc("The tables of this process under `shared_name`, made at first from serialized EmbeddingHashTableConfigs. One filter at most "
         "stands in front of all, with its own thresholds or with a SlotOccurrenceThresholdConfig for each table; one set at most is "
         "told the keys that change.");

REGISTER_OP("MonolithTablesLookupIds")
    .Input("handle: resource")
    .Input("ids: int64")
    .Output("embeddings: float")
    .Attr("table: string")
    .Attr("dim: int >= 1")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      int dim = 0;
      TF_RETURN_IF_ERROR(c->GetAttr("dim", &dim));
      tf::shape_inference::ShapeHandle ids;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &ids));
      c->set_output(0, c->Matrix(c->Dim(ids, 0), dim));
      return absl::OkStatus();
    })
    .Doc("Weights of one table by id; zeros for an absent one.");

REGISTER_OP("MonolithTablesAssign")
    .Input("handle: resource")
    .Input("ids: int64")
    .Input("values: float")
    .Input("req_time: int64")
    .Attr("table: string")
    .Attr("add: bool = false")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext*) { return absl::OkStatus(); })
    .Doc("Overwrites the weights of ids, or adds to them.");

REGISTER_OP("MonolithTablesSizes")
    .Input("handle: resource")
    .Output("sizes: int64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc("Rows of each table, tables in sorted order of their names.");

REGISTER_OP("MonolithTablesClear")
    .Input("handle: resource")
    .Attr("tables: list(string)")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext*) { return absl::OkStatus(); });

REGISTER_OP("MonolithTablesSave")
    .Input("handle: resource")
    .Input("basename: string")
    .Input("kind: string")
    .Attr("shards: int = -1")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext*) { return absl::OkStatus(); })
    .Doc("Writes the checkpoint files of all tables. kind: 'whole'; 'base', which deltas can follow; or 'delta', what changed since.");

REGISTER_OP("MonolithTablesRestore")
    .Input("handle: resource")
    .Input("basenames: string")
    .Input("modes: string")
    .Output("counts: int64")
    .Output("unknown_tables: string")
    .Output("missing_tables: string")
    .Attr("renamed: list(string) = []")
    .Attr("old_names: list(string) = []")
    .Attr("part: int = 0")
    .Attr("parts: int = 1")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->Vector(3));
      c->set_output(1, c->Vector(c->UnknownDim()));
      c->set_output(2, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc("Replaces the content of all tables by that of checkpoint files. modes: what may differ (see RestoreModes in the core). "
         "renamed[i] may be called old_names[i] in the files. Only keys with floormod(key, parts) == part are kept. counts: of rows, of "
         "those that were of another shape, and of keys of other parts.");

class TablesOp : public tf::ResourceOpKernel<TablesResource> {
 public:
  explicit TablesOp(tf::OpKernelConstruction* ctx) : ResourceOpKernel(ctx) {
    std::vector<std::string> names, configs;
    int64_t seed = 0;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("names", &names));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("configs", &configs));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("seed", &seed));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shared_name", &shared_name_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_filters", &num_filters_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_touched", &num_touched_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("thresholds", &thresholds_));
    OP_REQUIRES(ctx, names.size() == configs.size(),
                absl::InvalidArgumentError("names and configs have different lengths"));
    OP_REQUIRES(ctx, num_filters_ <= 1 && num_touched_ <= 1,
                absl::InvalidArgumentError("tables have one filter and one set of touched keys at most"));
    OP_REQUIRES(ctx, thresholds_.empty() || thresholds_.size() == names.size(),
                absl::InvalidArgumentError("names and thresholds have different lengths"));
    names_ = names;
    OP_REQUIRES_OK(ctx, Guard([&] {
                     for (size_t i = 0; i < names.size(); ++i) {
                       configs_.push_back(DecodeTableConfig(names[i], configs[i]));
                       configs_.back().seed = static_cast<uint64_t>(seed);
                     }
                   }));
  }

  void Compute(tf::OpKernelContext* ctx) override {
    ResourceOpKernel::Compute(ctx);
    if (!ctx->status().ok()) return;
    const auto resource = get_resource();
    if (num_filters_) OP_REQUIRES_OK(ctx, AttachFilter(ctx, resource->tables()));
    if (num_touched_) OP_REQUIRES_OK(ctx, AttachTouched(ctx, resource->tables()));
  }

 private:
  // Done again only when another filter stands behind the handle than before.
  absl::Status AttachFilter(tf::OpKernelContext* ctx, MultiTable* tables) {
    tf::core::RefCountPtr<FilterResource> filter;
    TF_RETURN_IF_ERROR(tf::LookupResource(ctx, tf::HandleFromInput(ctx, 0), &filter));
    std::lock_guard<std::mutex> lock(attach_mutex_);
    if (attached_ == filter->gate()) return absl::OkStatus();
    TF_RETURN_IF_ERROR(Guard([&] {
      for (size_t i = 0; i < names_.size(); ++i) {
        auto gate = filter->gate();
        if (!thresholds_.empty())
          gate = std::make_shared<OccurrenceGate>(gate->shared_filter(), SlotThresholds::Decode(thresholds_[i]));
        tables->table(TableIndex(*tables, names_[i])).SetGate(gate);
      }
    }));
    attached_ = filter->gate();
    return absl::OkStatus();
  }
  absl::Status AttachTouched(tf::OpKernelContext* ctx, MultiTable* tables) {
    tf::core::RefCountPtr<TouchedResource> touched;
    TF_RETURN_IF_ERROR(tf::LookupResource(ctx, tf::HandleFromInput(ctx, num_filters_), &touched));
    tables->SetTouched(touched->keys());
    return absl::OkStatus();
  }

  absl::Status CreateResource(TablesResource** resource) override {
    return Guard([&] { *resource = new TablesResource(OpenTables(shared_name_, configs_)); });
  }
  // Another graph of this session opened them before: the core knows whether the configs are the same.
  absl::Status VerifyResource(TablesResource*) override {
    return Guard([&] { OpenTables(shared_name_, configs_); });
  }

  std::string shared_name_;
  std::vector<TableConfig> configs_;
  std::vector<std::string> names_, thresholds_;
  int num_filters_ = 0, num_touched_ = 0;
  std::mutex attach_mutex_;
  std::shared_ptr<const OccurrenceGate> attached_;
};

class LookupIdsOp : public TablesKernel {
 public:
  explicit LookupIdsOp(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("table", &table_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("dim", &dim_));
  }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    const EmbeddingTable& table = tables->table(TableIndex(*tables, table_));
    if (table.dim() != dim_) return absl::InvalidArgumentError("dim is not that of table '" + table_ + "'");
    const auto ids = ctx->input(1).flat<int64_t>();
    tf::Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {static_cast<int64_t>(ids.size()), dim_}, &out));
    float* rows = out->flat<float>().data();
    const int64_t n = ids.size(), units = n > kFidsWorthThreads ? 1 + n / kFidsPerUnit : 1;
    return ForEachUnit(ctx, static_cast<size_t>(units), units > 1, [&](size_t u) {
      const int64_t begin = n * static_cast<int64_t>(u) / units, end = n * static_cast<int64_t>(u + 1) / units;
      table.Lookup(ids.data() + begin, static_cast<size_t>(end - begin), rows + begin * dim_);
    });
  }

 private:
  std::string table_;
  int dim_ = 0;
};

class AssignOp : public TablesKernel {
 public:
  explicit AssignOp(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("table", &table_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("add", &add_));
  }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    EmbeddingTable& table = tables->table(TableIndex(*tables, table_));
    const auto ids = ctx->input(1).flat<int64_t>();
    const auto values = ctx->input(2).flat<float>();
    if (values.size() != ids.size() * table.dim())
      return ToStatus(ErrorCode::kUsage, "table '" + table_ + "': " + std::to_string(ids.size()) + " ids need " +
                                             std::to_string(ids.size() * table.dim()) + " values, but there are " +
                                             std::to_string(values.size()));
    const uint32_t now = UpdateTime(ctx->input(3));
    add_ ? table.AssignAdd(ids.data(), ids.size(), values.data(), now)
         : table.Assign(ids.data(), ids.size(), values.data(), now);
    return absl::OkStatus();
  }

 private:
  std::string table_;
  bool add_ = false;
};

class SizesOp : public TablesKernel {
 public:
  using TablesKernel::TablesKernel;

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    tf::Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {static_cast<int64_t>(tables->num_tables())}, &out));
    for (size_t t = 0; t < tables->num_tables(); ++t)
      out->flat<int64_t>()(t) = static_cast<int64_t>(tables->table(t).size());
    return absl::OkStatus();
  }
};

class ClearOp : public TablesKernel {
 public:
  explicit ClearOp(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("tables", &names_));
  }

 protected:
  absl::Status Run(tf::OpKernelContext*, MultiTable* tables) override {
    for (const std::string& name : names_) tables->table(TableIndex(*tables, name)).Clear();
    return absl::OkStatus();
  }

 private:
  std::vector<std::string> names_;
};

absl::Status Scalar(tf::OpKernelContext* ctx, int input, const char* name, std::string* value) {
  if (ctx->input(input).NumElements() != 1) return absl::InvalidArgumentError(std::string(name) + " must be a scalar");
  *value = ctx->input(input).flat<tf::tstring>()(0);
  return absl::OkStatus();
}

class SaveOp : public TablesKernel {
 public:
  explicit SaveOp(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shards", &shards_));
  }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    std::string basename, kind;
    TF_RETURN_IF_ERROR(Scalar(ctx, 1, "basename", &basename));
    TF_RETURN_IF_ERROR(Scalar(ctx, 2, "kind", &kind));
    if (kind == "whole") tables->Save(basename, shards_);
    else if (kind == "base") tables->SaveBase(basename, shards_);
    else if (kind == "delta") tables->SaveDelta(basename, shards_);
    else return ToStatus(ErrorCode::kUsage, "tables are saved whole, base or delta, not '" + kind + "'");
    return absl::OkStatus();
  }

 private:
  int shards_ = -1;
};

class RestoreOp : public TablesKernel {
 public:
  explicit RestoreOp(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) {
    std::vector<std::string> renamed, old;
    int64_t part = 0, parts = 1;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("renamed", &renamed));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("old_names", &old));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("part", &part));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("parts", &parts));
    OP_REQUIRES(ctx, renamed.size() == old.size(), absl::InvalidArgumentError("renamed and old_names have different lengths"));
    OP_REQUIRES(ctx, part >= 0 && part < parts, absl::InvalidArgumentError("part must be in [0, parts)"));
    for (size_t i = 0; i < renamed.size(); ++i) names_[renamed[i]].push_back(old[i]);
    part_ = static_cast<uint64_t>(part);
    parts_ = static_cast<uint64_t>(parts);
  }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    RestoreOptions options = RestoreModes(Strings(ctx->input(2)));
    options.old_names = names_;
    options.part = part_;
    options.parts = parts_;
    const RestoreReport report = RestoreTables(tables, Strings(ctx->input(1)), options);
    tf::Tensor* counts = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {3}, &counts));
    counts->flat<int64_t>()(0) = static_cast<int64_t>(report.rows);
    counts->flat<int64_t>()(1) = static_cast<int64_t>(report.adapted_rows);
    counts->flat<int64_t>()(2) = static_cast<int64_t>(report.other_parts);
    TF_RETURN_IF_ERROR(Output(ctx, 1, report.unknown_tables));
    return Output(ctx, 2, report.missing_tables);
  }

 private:
  static std::vector<std::string> Strings(const tf::Tensor& t) {
    std::vector<std::string> all;
    const auto flat = t.flat<tf::tstring>();
    for (int64_t i = 0; i < flat.size(); ++i) all.emplace_back(flat(i));
    return all;
  }
  static absl::Status Output(tf::OpKernelContext* ctx, int output, const std::vector<std::string>& strings) {
    tf::Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(output, {static_cast<int64_t>(strings.size())}, &out));
    for (size_t i = 0; i < strings.size(); ++i) out->flat<tf::tstring>()(static_cast<int64_t>(i)) = strings[i];
    return absl::OkStatus();
  }

  std::map<std::string, std::vector<std::string>> names_;
  uint64_t part_ = 0, parts_ = 1;
};

REGISTER_KERNEL_BUILDER(Name("MonolithTables").Device(tf::DEVICE_CPU), TablesOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesLookupIds").Device(tf::DEVICE_CPU), LookupIdsOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesAssign").Device(tf::DEVICE_CPU), AssignOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesSizes").Device(tf::DEVICE_CPU), SizesOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesClear").Device(tf::DEVICE_CPU), ClearOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesSave").Device(tf::DEVICE_CPU), SaveOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesRestore").Device(tf::DEVICE_CPU), RestoreOp);

}  // namespace
}  // namespace monolith
