// Rows of several tables by lists of ids, one list a table: what lies between the sharding of fids and the layouts.
#include <algorithm>
#include <string>
#include <vector>

#include "core/tables/filters/occurrence_gate.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/op_checks.h"
#include "tensorflow/tables_resource.h"
#include "tensorflow/work_units.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;

REGISTER_OP("MonolithTablesLookupRows")
    .Input("handle: resource")
    .Input("ids: N * int64")
    .Output("rows: N * float")
    .Attr("N: int >= 1")
    .Attr("tables: list(string)")
    .Attr("insert_missing: bool = false")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      for (int i = 0; i < c->num_outputs(); ++i) {
        TF_RETURN_IF_ERROR(CheckRanks(c, {{1 + i, "ids", 1}}));
        c->set_output(i, c->Vector(c->UnknownDim()));
      }
      return absl::OkStatus();
    })
    .Doc("Weights of the ids of each table, row after row; zeros for an absent one, or with insert_missing its initial values, unless the "
         "table's filter has it occur more often first.");

REGISTER_OP("MonolithTablesOptimizeRows")
    .Input("handle: resource")
    .Input("ids: N * int64")
    .Input("grads: N * float")
    .Input("learning_rates: float")
    .Input("global_step: int64")
    .Input("req_time: int64")
    .Attr("N: int >= 1")
    .Attr("tables: list(string)")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext*) { return absl::OkStatus(); })
    .Doc("One optimizer step for each id with the sum of its gradients. `learning_rates` has one entry per segment of every table of the "
         "handle, tables in sorted order of their names.");

class RowsKernel : public TablesKernel {
 public:
  explicit RowsKernel(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("tables", &names_));
    OP_REQUIRES(ctx, static_cast<int>(names_.size()) == CountOf(ctx),
                ToStatus(ErrorCode::kUsage, "there are " + std::to_string(CountOf(ctx)) + " lists of ids for " + std::to_string(names_.size()) +
                                                " tables"));
  }

 protected:
  struct Ids {
    size_t index;
    EmbeddingTable* table;
    const int64_t* ids;
    size_t n;
    size_t floats() const { return n * static_cast<size_t>(table->dim()); }
  };

  static int CountOf(tf::OpKernelConstruction* ctx) {
    int n = 0;
    return ctx->GetAttr("N", &n).ok() ? n : 0;
  }

  std::vector<Ids> ReadIds(tf::OpKernelContext* ctx, MultiTable* tables, bool* threads) const {
    tf::OpInputList list;
    if (!ctx->input_list("ids", &list).ok()) throw Error(ErrorCode::kInternal, "the op has no ids");
    std::vector<Ids> out;
    int64_t total = 0;
    for (size_t i = 0; i < names_.size(); ++i) {
      const size_t index = static_cast<size_t>(TableIndex(*tables, names_[i]));
      const auto ids = list[static_cast<int>(i)].flat<int64_t>();
      out.push_back({index, &tables->table(index), ids.data(), static_cast<size_t>(ids.size())});
      total += ids.size();
    }
    *threads = total > kFidsWorthThreads;
    return out;
  }

  std::vector<std::string> names_;
};

// A row is born by adding nothing to it. It has no time of its own until its first gradient.
void LookupInserting(EmbeddingTable* table, const int64_t* ids, size_t n, float* rows) {
  if (table->Lookup(ids, n, rows) == n) return;
  std::vector<uint8_t> found(n);
  table->Contains(ids, n, found.data());
  std::vector<int64_t> missing;
  const OccurrenceGate* gate = table->gate();
  for (size_t i = 0; i < n; ++i)
    if (!found[i] && !(gate && gate->Guards(ids[i]))) missing.push_back(ids[i]);
  if (missing.empty()) return;
  const std::vector<float> zeros(missing.size() * static_cast<size_t>(table->dim()));
  table->AssignAdd(missing.data(), missing.size(), zeros.data(), 0);
  table->Lookup(ids, n, rows);
}

class LookupRowsOp : public RowsKernel {
 public:
  explicit LookupRowsOp(tf::OpKernelConstruction* ctx) : RowsKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("insert_missing", &insert_missing_));
  }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    bool threads = false;
    const std::vector<Ids> lists = ReadIds(ctx, tables, &threads);
    std::vector<Unit> units;
    for (size_t i = 0; i < lists.size(); ++i) {
      const Ids& l = lists[i];
      tf::Tensor* out = nullptr;
      TF_RETURN_IF_ERROR(ctx->allocate_output(static_cast<int>(i), {static_cast<int64_t>(l.floats())}, &out));
      float* rows = out->flat<float>().data();
      for (size_t begin = 0; begin < l.n; begin += kFidsPerUnit)
        units.push_back({l.table, l.ids + begin, std::min<size_t>(kFidsPerUnit, l.n - begin), rows + begin * static_cast<size_t>(l.table->dim())});
    }
    return ForEachUnit(ctx, units.size(), threads, [&](size_t i) {
      const Unit& u = units[i];
      if (insert_missing_) LookupInserting(u.table, u.ids, u.n, u.rows);
      else u.table->Lookup(u.ids, u.n, u.rows);
    });
  }

 private:
  struct Unit {
    EmbeddingTable* table;
    const int64_t* ids;
    size_t n;
    float* rows;
  };
  bool insert_missing_ = false;
};

class OptimizeRowsOp : public RowsKernel {
 public:
  using RowsKernel::RowsKernel;

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    bool threads = false;
    const std::vector<Ids> lists = ReadIds(ctx, tables, &threads);
    const std::vector<const float*> grads = ReadGrads(ctx, lists);
    const std::vector<const float*> rates = ReadRates(tables, InputOfRank(ctx, "learning_rates", 1));
    const int64_t step = ScalarInput<int64_t>(ctx, "global_step");
    const tf::Tensor* req_time = nullptr;
    TF_RETURN_IF_ERROR(ctx->input("req_time", &req_time));
    const uint32_t now = UpdateTime(*req_time);
    return ForEachUnit(ctx, lists.size(), threads, [&](size_t i) {
      const Ids& l = lists[i];
      l.table->OptimizeSummed(l.ids, l.n, grads[i], rates[l.index], now, step);
    });
  }

 private:
  std::vector<const float*> ReadGrads(tf::OpKernelContext* ctx, const std::vector<Ids>& lists) const {
    tf::OpInputList list;
    if (!ctx->input_list("grads", &list).ok()) throw Error(ErrorCode::kInternal, "the op has no grads");
    std::vector<const float*> out;
    for (size_t i = 0; i < lists.size(); ++i) {
      const tf::Tensor& grad = list[static_cast<int>(i)];
      if (static_cast<size_t>(grad.NumElements()) != lists[i].floats())
        throw Error(ErrorCode::kUsage, "table '" + names_[i] + "': its gradients are " + std::to_string(grad.NumElements()) + " floats, but " +
                                           std::to_string(lists[i].n) + " ids of dim " + std::to_string(lists[i].table->dim()) + " need " +
                                           std::to_string(lists[i].floats()));
      out.push_back(grad.flat<float>().data());
    }
    return out;
  }

  // Where the rates of each table of the handle begin.
  static std::vector<const float*> ReadRates(MultiTable* tables, const tf::Tensor& rates) {
    std::vector<const float*> begins;
    size_t next = 0;
    for (size_t t = 0; t < tables->num_tables(); ++t) {
      begins.push_back(rates.flat<float>().data() + next);
      next += tables->table(t).config().segments.size();
    }
    if (static_cast<size_t>(rates.NumElements()) != next)
      throw Error(ErrorCode::kUsage, "there are " + std::to_string(rates.NumElements()) + " learning rates, but the tables have " +
                                         std::to_string(next) + " segments");
    return begins;
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithTablesLookupRows").Device(tf::DEVICE_CPU), LookupRowsOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesOptimizeRows").Device(tf::DEVICE_CPU), OptimizeRowsOp);

}  // namespace
}  // namespace monolith
