// Lookups and optimizer steps for several shards at once (spec 30, section 12): the ids that S workers send to N tables, shard by
// shard and within a shard table by table. fused_slot_size[s * N + t] says how many of them shard s has for table t.
#include <climits>
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

REGISTER_OP("MonolithTablesFusedLookup")
    .Input("handles: num_handles * resource")
    .Input("ids: int64")
    .Input("fused_slot_size: int32")
    .Input("req_time: int64")
    .Output("embeddings: float")
    .Output("embedding_splits: int32")
    .Output("id_offsets: int32")
    .Output("embedding_offsets: int32")
    .Output("indices: int64")
    .Attr("num_handles: int >= 1")
    .Attr("num_of_shards: int >= 1")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      int shards = 0;
      TF_RETURN_IF_ERROR(c->GetAttr("num_of_shards", &shards));
      const int n = c->num_inputs() - 3;
      TF_RETURN_IF_ERROR(CheckRanks(c, {{n, "ids", 1}, {n + 1, "fused_slot_size", 1}}));
      tf::shape_inference::DimensionHandle offsets;
      TF_RETURN_IF_ERROR(c->Add(c->Dim(c->input(n + 1), 0), 1, &offsets));
      c->set_output(0, c->Vector(c->UnknownDim()));
      c->set_output(1, c->Vector(shards));
      c->set_output(2, c->Vector(offsets));
      c->set_output(3, c->Vector(offsets));
      c->set_output(4, c->input(n));
      return absl::OkStatus();
    })
    .Doc("Weights of ids, zeros for an absent one. The tables are those of all handles, one handle after the other and those of one "
         "in sorted order of their names. embedding_splits: floats of each shard; id_offsets and embedding_offsets: where each block "
         "of one shard and one table begins, and the end; indices: the ids.");

REGISTER_OP("MonolithTablesFusedOptimize")
    .Input("handles: num_handles * resource")
    .Input("ids: int64")
    .Input("indices: int64")
    .Input("fused_slot_size: int32")
    .Input("id_grads: float")
    .Input("id_offsets: int32")
    .Input("grad_offsets: int32")
    .Input("learning_rates: float")
    .Input("req_time: int64")
    .Input("global_step: int64")
    .Output("updated_handles: num_handles * resource")
    .Attr("num_handles: int >= 1")
    .Attr("num_of_shards: int >= 1")
    .Attr("enable_grad_accumulation: bool = false")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      const int n = c->num_inputs() - 9;
      TF_RETURN_IF_ERROR(CheckRanks(c, {{n, "ids", 1},
                                        {n + 2, "fused_slot_size", 1},
                                        {n + 3, "id_grads", 1},
                                        {n + 4, "id_offsets", 1},
                                        {n + 5, "grad_offsets", 1},
                                        {n + 6, "learning_rates", 1},
                                        {n + 8, "global_step", 0}}));
      for (int i = 0; i < n; ++i) c->set_output(i, c->Scalar());
      return absl::OkStatus();
    })
    .Doc("One optimizer step for each id of each block, with enable_grad_accumulation one for each distinct id of a block with the sum "
         "of its gradients. An id that several shards send is updated once for each, in any order. learning_rates: one for each "
         "segment of each table. `indices` are for other devices.");

// The ids of one shard for one table.
struct Block {
  EmbeddingTable* table;
  size_t id, n;     // first id
  size_t embedding;  // its first float
};

class FusedKernel : public tf::OpKernel {
 public:
  explicit FusedKernel(tf::OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("num_of_shards", &shards_));
  }

  void Compute(tf::OpKernelContext* ctx) override {
    tf::OpInputList handles;
    OP_REQUIRES_OK(ctx, ctx->input_list("handles", &handles));
    std::vector<tf::core::RefCountPtr<TablesResource>> resources(static_cast<size_t>(handles.size()));
    std::vector<EmbeddingTable*> tables;
    for (int i = 0; i < handles.size(); ++i) {
      auto& resource = resources[static_cast<size_t>(i)];
      OP_REQUIRES_OK(ctx, tf::LookupResource(ctx, tf::HandleFromInput(ctx, i), &resource));
      for (size_t t = 0; t < resource->tables()->num_tables(); ++t) tables.push_back(&resource->tables()->table(t));
    }
    absl::Status inner;
    OP_REQUIRES_OK(ctx, Guard([&] { inner = Run(ctx, tables); }));
    OP_REQUIRES_OK(ctx, inner);
  }

 protected:
  virtual absl::Status Run(tf::OpKernelContext* ctx, const std::vector<EmbeddingTable*>& tables) = 0;

  // One for each shard and table, checked against the number of ids.
  std::vector<Block> ReadBlocks(tf::OpKernelContext* ctx, const std::vector<EmbeddingTable*>& tables) const {
    const size_t ids = static_cast<size_t>(InputOfRank(ctx, "ids", 1).NumElements());
    const auto sizes = InputOfRank(ctx, "fused_slot_size", 1).flat<int32_t>();
    const size_t blocks = tables.size() * static_cast<size_t>(shards_);
    if (static_cast<size_t>(sizes.size()) != blocks)
      throw Error(ErrorCode::kUsage, "fused_slot_size has " + std::to_string(sizes.size()) + " entries, but " +
                                         std::to_string(tables.size()) + " tables and " + std::to_string(shards_) + " shards need " +
                                         std::to_string(blocks));
    std::vector<Block> all;
    size_t id = 0, embedding = 0;
    for (size_t j = 0; j < blocks; ++j) {
      EmbeddingTable* table = tables[j % tables.size()];
      const int32_t size = sizes(static_cast<int64_t>(j));
      if (size < 0)
        throw Error(ErrorCode::kUsage, "table '" + table->config().name + "': fused_slot_size[" + std::to_string(j) + "] is " +
                                           std::to_string(size));
      all.push_back({table, id, static_cast<size_t>(size), embedding});
      id += static_cast<size_t>(size);
      embedding += static_cast<size_t>(size) * static_cast<size_t>(table->dim());
    }
    if (id != ids)
      throw Error(ErrorCode::kUsage, "ids has " + std::to_string(ids) + " entries, but fused_slot_size adds up to " + std::to_string(id));
    if (id > INT_MAX || embedding > INT_MAX)
      throw Error(ErrorCode::kUsage, std::to_string(embedding) + " floats in one batch: offsets are int32, so it must be cut");
    return all;
  }

  // Runs work(shard), a shard on each thread.
  template <class Work>
  absl::Status ForEachShard(tf::OpKernelContext* ctx, const std::vector<Block>& blocks, Work work) const {
    const bool threads = !blocks.empty() && blocks.back().id + blocks.back().n > size_t{kFidsPerUnit};
    return ForEachUnit(ctx, static_cast<size_t>(shards_), threads, work);
  }

  int shards_ = 1;
};

class FusedLookupOp : public FusedKernel {
 public:
  using FusedKernel::FusedKernel;

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, const std::vector<EmbeddingTable*>& tables) override {
    const std::vector<Block> blocks = ReadBlocks(ctx, tables);
    const tf::Tensor& ids = InputOfRank(ctx, "ids", 1);
    tf::Tensor *splits = nullptr, *id_offsets = nullptr, *offsets = nullptr, *out = nullptr;
    const int64_t n = static_cast<int64_t>(blocks.size());
    TF_RETURN_IF_ERROR(ctx->allocate_output(1, {shards_}, &splits));
    TF_RETURN_IF_ERROR(ctx->allocate_output(2, {n + 1}, &id_offsets));
    TF_RETURN_IF_ERROR(ctx->allocate_output(3, {n + 1}, &offsets));
    splits->flat<int32_t>().setZero();
    size_t end = 0;
    id_offsets->flat<int32_t>()(0) = offsets->flat<int32_t>()(0) = 0;
    for (int64_t j = 0; j < n; ++j) {
      const Block& b = blocks[static_cast<size_t>(j)];
      const size_t floats = b.n * static_cast<size_t>(b.table->dim());
      end = b.embedding + floats;
      id_offsets->flat<int32_t>()(j + 1) = static_cast<int32_t>(b.id + b.n);
      offsets->flat<int32_t>()(j + 1) = static_cast<int32_t>(end);
      splits->flat<int32_t>()(j / static_cast<int64_t>(tables.size())) += static_cast<int32_t>(floats);
    }
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {static_cast<int64_t>(end)}, &out));
    ctx->set_output(4, ids);
    const int64_t* keys = ids.flat<int64_t>().data();
    float* rows = out->flat<float>().data();
    return ForEachShard(ctx, blocks, [&](size_t s) {
      for (size_t j = s * tables.size(); j < (s + 1) * tables.size(); ++j)
        blocks[j].table->Lookup(keys + blocks[j].id, blocks[j].n, rows + blocks[j].embedding);
    });
  }
};

class FusedOptimizeOp : public FusedKernel {
 public:
  explicit FusedOptimizeOp(tf::OpKernelConstruction* ctx) : FusedKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("enable_grad_accumulation", &accumulate_));
  }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, const std::vector<EmbeddingTable*>& tables) override {
    const std::vector<Block> blocks = ReadBlocks(ctx, tables);
    const tf::Tensor& ids = InputOfRank(ctx, "ids", 1);
    const tf::Tensor& grads = InputOfRank(ctx, "id_grads", 1);
    const std::vector<size_t> id_at = ReadOffsets(ctx, "id_offsets", blocks, "ids", ids, false);
    const std::vector<size_t> grad_at = ReadOffsets(ctx, "grad_offsets", blocks, "id_grads", grads, true);
    const int64_t step = ScalarInput<int64_t>(ctx, "global_step");
    const std::vector<const float*> rates = ReadRates(InputOfRank(ctx, "learning_rates", 1), tables, step);
    const tf::Tensor* req_time = nullptr;
    TF_RETURN_IF_ERROR(ctx->input("req_time", &req_time));
    const uint32_t now = UpdateTime(*req_time);
    tf::OpOutputList out;
    TF_RETURN_IF_ERROR(ctx->output_list("updated_handles", &out));
    for (int i = 0; i < out.size(); ++i) out.set(i, ctx->input(i));
    const int64_t* keys = ids.flat<int64_t>().data();
    const float* values = grads.flat<float>().data();
    return ForEachShard(ctx, blocks, [&](size_t s) {
      for (size_t t = 0; t < tables.size(); ++t) {
        const size_t j = s * tables.size() + t;
        if (accumulate_) tables[t]->OptimizeSummed(keys + id_at[j], blocks[j].n, values + grad_at[j], rates[t], now, step);
        else tables[t]->Optimize(keys + id_at[j], blocks[j].n, values + grad_at[j], rates[t], now, step);
      }
    });
  }

 private:
  // Where each block begins, and that it ends inside `of`.
  static std::vector<size_t> ReadOffsets(tf::OpKernelContext* ctx, const char* argument, const std::vector<Block>& blocks,
                                         const char* name, const tf::Tensor& of, bool floats) {
    const auto offsets = InputOfRank(ctx, argument, 1).flat<int32_t>();
    if (static_cast<size_t>(offsets.size()) != blocks.size() + 1)
      throw Error(ErrorCode::kUsage, std::string(argument) + " has " + std::to_string(offsets.size()) + " entries, but " +
                                         std::to_string(blocks.size()) + " blocks need " + std::to_string(blocks.size() + 1));
    std::vector<size_t> begins;
    for (size_t j = 0; j < blocks.size(); ++j) {
      const int64_t begin = offsets(static_cast<int64_t>(j));
      const int64_t end = begin + static_cast<int64_t>(blocks[j].n) * (floats ? blocks[j].table->dim() : 1);
      if (begin < 0 || end > of.NumElements())
        throw Error(ErrorCode::kUsage, "table '" + blocks[j].table->config().name + "': its block at " + argument + "[" +
                                           std::to_string(j) + "] = " + std::to_string(begin) + " ends at " + std::to_string(end) +
                                           ", but " + name + " has " + std::to_string(of.NumElements()));
      begins.push_back(static_cast<size_t>(begin));
    }
    return begins;
  }

  static std::vector<const float*> ReadRates(const tf::Tensor& rates, const std::vector<EmbeddingTable*>& tables, int64_t step) {
    std::vector<const float*> begins;
    size_t segments = 0;
    for (const EmbeddingTable* table : tables) {
      CheckSteps(table->config().name, table->plan(), step);
      begins.push_back(rates.flat<float>().data() + segments);
      segments += table->plan().segments().size();
    }
    if (static_cast<size_t>(rates.NumElements()) != segments)
      throw Error(ErrorCode::kUsage, "learning_rates has " + std::to_string(rates.NumElements()) + " rates, but the tables have " +
                                         std::to_string(segments) + " segments");
    return begins;
  }

  bool accumulate_ = false;
};

REGISTER_KERNEL_BUILDER(Name("MonolithTablesFusedLookup").Device(tf::DEVICE_CPU), FusedLookupOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesFusedOptimize").Device(tf::DEVICE_CPU), FusedOptimizeOp);

}  // namespace
}  // namespace monolith
