// All tables of a resource at once, by ragged ids (spec 30, section 11): `id` holds the ids of one table after the other, tables in
// sorted order of their names; those of table k are id[id_split[k]] … id[id_split[k + 1] - 1]. Rows follow one another without
// padding.
#include <string>
#include <vector>

#include "core/tables/encoded_rows.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/op_checks.h"
#include "tensorflow/tables_resource.h"
#include "tensorflow/work_units.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;

REGISTER_OP("MonolithTablesLookupRagged")
    .Input("handle: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Output("embedding: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{1, "id", 1}, {2, "id_split", 1}}));
      c->set_output(0, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc("Weights of ids of all tables, zeros for an absent one. Several requests may follow one another: with K tables, the ids of "
         "table k of request q are those from id_split[q * K + k] on.");

absl::Status WriteShapes(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckRanks(c, {{1, "id", 1}, {2, "id_split", 1}, {4, "update_time", 0}}));
  c->set_output(0, c->Scalar());
  return absl::OkStatus();
}

REGISTER_OP("MonolithTablesAssignRagged")
    .Input("handle: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Input("value: float")
    .Input("update_time: int64")
    .Output("updated_handle: resource")
    .Attr("add: bool = false")
    .SetIsStateful()
    .SetShapeFn(WriteShapes)
    .Doc("Overwrites the weights of ids of all tables, or adds to them.");

REGISTER_OP("MonolithTablesOptimize")
    .Input("handle: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Input("value: float")
    .Input("update_time: int64")
    .Input("learning_rate: float")
    .Input("global_step: int64")
    .Output("updated_handle: resource")
    .Attr("sum_duplicates: bool = false")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(WriteShapes(c));
      return CheckRanks(c, {{5, "learning_rate", 1}, {6, "global_step", 0}});
    })
    .Doc("One optimizer step for each id of all tables, with gradients `value`; of an id that is there twice, one after the other or, "
         "with sum_duplicates, one with the sum. learning_rate: one for each segment of each table.");

// The ids of one table.
struct Block {
  EmbeddingTable* table;
  const int64_t* ids;
  size_t n;
  size_t value;  // its first float
};

class RaggedKernel : public TablesKernel {
 public:
  using TablesKernel::TablesKernel;

 protected:
  struct Blocks {
    std::vector<Block> all;
    size_t floats = 0;
    bool threads = false;
  };

  static Blocks ReadBlocks(tf::OpKernelContext* ctx, MultiTable* tables, bool many_requests) {
    const tf::Tensor& id = InputOfRank(ctx, "id", 1);
    const auto ids = id.flat<int64_t>();
    const auto split = InputOfRank(ctx, "id_split", 1).flat<int64_t>();
    const int64_t k = static_cast<int64_t>(tables->num_tables());
    if (many_requests ? split.size() <= k || (split.size() - 1) % k != 0 : split.size() != k + 1)
      throw Error(ErrorCode::kUsage, "id_split has " + std::to_string(split.size()) + " entries, but " + std::to_string(k) +
                                         " tables need " + std::to_string(k + 1) +
                                         (many_requests ? ", and as many more as tables for each further request" : ""));
    if (split(0) != 0) throw Error(ErrorCode::kUsage, "id_split begins at " + std::to_string(split(0)) + ", not at 0");
    if (split(split.size() - 1) != ids.size())
      throw Error(ErrorCode::kUsage, "id_split ends at " + std::to_string(split(split.size() - 1)) + ", but id has " +
                                         std::to_string(ids.size()));
    Blocks blocks;
    blocks.threads = ids.size() > kFidsWorthThreads;
    for (int64_t j = 0; j + 1 < split.size(); ++j) {
      EmbeddingTable& table = tables->table(static_cast<size_t>(j % k));
      if (split(j) > split(j + 1) || split(j + 1) > ids.size())
        throw Error(ErrorCode::kUsage, "table '" + table.config().name + "': id_split[" + std::to_string(j + 1) + "] = " +
                                           std::to_string(split(j + 1)) + " does not lie between the one before it, " +
                                           std::to_string(split(j)) + ", and the number of ids, " + std::to_string(ids.size()));
      const size_t n = static_cast<size_t>(split(j + 1) - split(j));
      blocks.all.push_back({&table, ids.data() + split(j), n, blocks.floats});
      blocks.floats += n * static_cast<size_t>(table.dim());
    }
    return blocks;
  }

  static const float* ReadValues(tf::OpKernelContext* ctx, const Blocks& blocks) {
    const tf::Tensor* value = nullptr;
    if (!ctx->input("value", &value).ok()) throw Error(ErrorCode::kInternal, "the op has no value");
    const size_t there = static_cast<size_t>(value->NumElements());
    for (const Block& b : blocks.all) {
      const size_t end = b.value + b.n * static_cast<size_t>(b.table->dim());
      if (end > there)
        throw Error(ErrorCode::kUsage, "table '" + b.table->config().name + "': value is too short: its " + std::to_string(b.n) +
                                           " ids of dim " + std::to_string(b.table->dim()) + " need the floats up to " +
                                           std::to_string(end) + ", but there are " + std::to_string(there));
    }
    if (there != blocks.floats)
      throw Error(ErrorCode::kUsage, "value has " + std::to_string(there) + " floats, but the ids of all tables need " +
                                         std::to_string(blocks.floats));
    return value->flat<float>().data();
  }
};

class LookupRaggedOp : public RaggedKernel {
 public:
  using RaggedKernel::RaggedKernel;

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    const Blocks blocks = ReadBlocks(ctx, tables, true);
    tf::Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {static_cast<int64_t>(blocks.floats)}, &out));
    float* rows = out->flat<float>().data();
    std::vector<Block> units;
    for (const Block& b : blocks.all)
      for (size_t begin = 0; begin < b.n; begin += kFidsPerUnit)
        units.push_back({b.table, b.ids + begin, std::min<size_t>(kFidsPerUnit, b.n - begin),
                         b.value + begin * static_cast<size_t>(b.table->dim())});
    return ForEachUnit(ctx, units.size(), blocks.threads,
                       [&](size_t i) { units[i].table->Lookup(units[i].ids, units[i].n, rows + units[i].value); });
  }
};

class AssignRaggedOp : public RaggedKernel {
 public:
  explicit AssignRaggedOp(tf::OpKernelConstruction* ctx) : RaggedKernel(ctx) { OP_REQUIRES_OK(ctx, ctx->GetAttr("add", &add_)); }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    const Blocks blocks = ReadBlocks(ctx, tables, false);
    const float* value = ReadValues(ctx, blocks);
    const uint32_t now = UpdateTime(InputOfRank(ctx, "update_time", 0));
    ctx->set_output(0, ctx->input(0));
    return ForEachUnit(ctx, blocks.all.size(), blocks.threads, [&](size_t i) {
      const Block& b = blocks.all[i];
      add_ ? b.table->AssignAdd(b.ids, b.n, value + b.value, now) : b.table->Assign(b.ids, b.n, value + b.value, now);
    });
  }

 private:
  bool add_ = false;
};

class OptimizeOp : public RaggedKernel {
 public:
  explicit OptimizeOp(tf::OpKernelConstruction* ctx) : RaggedKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("sum_duplicates", &sum_duplicates_));
  }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    const Blocks blocks = ReadBlocks(ctx, tables, false);
    const float* value = ReadValues(ctx, blocks);
    const int64_t step = ScalarInput<int64_t>(ctx, "global_step");
    const std::vector<const float*> rates = ReadRates(InputOfRank(ctx, "learning_rate", 1), blocks, step);
    const uint32_t now = UpdateTime(InputOfRank(ctx, "update_time", 0));
    ctx->set_output(0, ctx->input(0));
    return ForEachUnit(ctx, blocks.all.size(), blocks.threads, [&](size_t i) {
      const Block& b = blocks.all[i];
      if (sum_duplicates_) b.table->OptimizeSummed(b.ids, b.n, value + b.value, rates[i], now, step);
      else b.table->Optimize(b.ids, b.n, value + b.value, rates[i], now, step);
    });
  }

 private:
  // Where the rates of each table begin. Whatever forbids a step of any table is found here, before the first one.
  static std::vector<const float*> ReadRates(const tf::Tensor& rates, const Blocks& blocks, int64_t step) {
    const size_t there = static_cast<size_t>(rates.NumElements());
    std::vector<const float*> begins;
    size_t next = 0;
    for (const Block& b : blocks.all) {
      const std::string& name = b.table->config().name;
      CheckSteps(name, b.table->plan(), step);
      begins.push_back(rates.flat<float>().data() + next);
      next += b.table->plan().segments().size();
      if (next > there)
        throw Error(ErrorCode::kUsage, "table '" + name + "': learning_rate is too short: its segments need the rates up to " +
                                           std::to_string(next) + ", but there are " + std::to_string(there));
    }
    if (next != there)
      throw Error(ErrorCode::kUsage, "learning_rate has " + std::to_string(there) + " rates, but the tables have " +
                                         std::to_string(next) + " segments");
    return begins;
  }

  bool sum_duplicates_ = false;
};

REGISTER_KERNEL_BUILDER(Name("MonolithTablesLookupRagged").Device(tf::DEVICE_CPU), LookupRaggedOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesAssignRagged").Device(tf::DEVICE_CPU), AssignRaggedOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesOptimize").Device(tf::DEVICE_CPU), OptimizeOp);

}  // namespace
}  // namespace monolith
