// Rows as serialized EntryDumps (spec 30, sections 10 and 11), and gradients of sparse lookups.
#include <algorithm>
#include <string>
#include <vector>

#include "core/base/fid.h"
#include "core/tables/encoded_rows.h"
#include "core/tables/entry_codec.h"
#include "core/tables/entry_dump.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/op_checks.h"
#include "tensorflow/tables_resource.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;

REGISTER_OP("MonolithTablesLookupEntry")
    .Input("handle: resource")
    .Input("id: int64")
    .Input("id_split: int64")
    .Output("serialized_entries: string")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{1, "id", 1}, {2, "id_split", 1}}));
      c->set_output(0, c->input(1));
      return absl::OkStatus();
    })
    .Doc("A serialized EntryDump without its id for each id, empty for an absent one. Ids of all tables as in "
         "MonolithTablesLookupRagged.");

REGISTER_OP("MonolithTablesSaveAsTensor")
    .Input("handle: resource")
    .Input("shard_idx: int32")
    .Input("num_shards: int32")
    .Input("limit: int64")
    .Input("offset: int64")
    .Output("new_offset: int64")
    .Output("entry: string")
    .Attr("table: string")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{1, "shard_idx", 0}, {2, "num_shards", 0}, {3, "limit", 0}, {4, "offset", 0}}));
      c->set_output(0, c->Scalar());
      c->set_output(1, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc("Serialized EntryDumps of `limit` rows at most of one shard of a table, from offset on; 0 is the beginning, any other one "
         "that a call gave. A shard is done when fewer than `limit` come; new_offset is then -1. A row that is there from the first call "
         "to the last comes once, whatever is inserted and evicted meanwhile.");

REGISTER_OP("MonolithExtractSlotFromEntry")
    .Input("entry: string")
    .Output("slot: int32")
    .Attr("fid_v2: bool = true")
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{0, "entry", 1}}));
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    })
    .Doc("The slots that the ids of serialized EntryDumps are in, with 15 bits of slot (v2) or 10 (v1).");

REGISTER_OP("MonolithTablesLookupGradient")
    .Input("id_indices: int64")
    .Input("id_values: int64")
    .Input("input_grads: float")
    .Output("ids: int64")
    .Output("output_grads: float")
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{0, "id_indices", 2}, {1, "id_values", 1}, {2, "input_grads", 2}}));
      tf::shape_inference::DimensionHandle n;
      if (!c->Merge(c->Dim(c->input(0), 0), c->Dim(c->input(1), 0), &n).ok())
        return ToStatus(ErrorCode::kUsage, "id_indices and id_values are of different lengths");
      c->set_output(0, c->Vector(n));
      c->set_output(1, c->Matrix(n, c->Dim(c->input(2), 1)));
      return absl::OkStatus();
    })
    .Doc("For the ids [n] of a sparse tensor [b, ...] with indices [n, k], each of whose rows has a gradient input_grads [b, d]: the "
         "ids, and the gradient of the row that each is in.");

class LookupEntryOp : public TablesKernel {
 public:
  using TablesKernel::TablesKernel;

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    const auto ids = InputOfRank(ctx, "id", 1).flat<int64_t>();
    const auto split = InputOfRank(ctx, "id_split", 1).flat<int64_t>();
    const int64_t k = static_cast<int64_t>(tables->num_tables());
    if (split.size() != k + 1)
      throw Error(ErrorCode::kUsage, "id_split has " + std::to_string(split.size()) + " entries, but " + std::to_string(k) +
                                         " tables need " + std::to_string(k + 1));
    if (split(0) != 0 || split(k) != ids.size())
      throw Error(ErrorCode::kUsage, "id_split goes from " + std::to_string(split(0)) + " to " + std::to_string(split(k)) +
                                         ", but the ids from 0 to " + std::to_string(ids.size()));
    tf::Tensor* out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {ids.size()}, &out));
    for (int64_t t = 0; t < k; ++t) {
      const EmbeddingTable& table = tables->table(static_cast<size_t>(t));
      if (split(t) > split(t + 1) || split(t + 1) > ids.size())
        throw Error(ErrorCode::kUsage, "table '" + table.config().name + "': id_split[" + std::to_string(t + 1) + "] = " +
                                           std::to_string(split(t + 1)) + " does not lie between the one before it and the number of ids");
      Write(table, ids.data() + split(t), split(t + 1) - split(t), out->flat<tf::tstring>().data() + split(t));
    }
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kIdBytes = 9;  // the field in front

  static void Write(const EmbeddingTable& table, const int64_t* ids, int64_t n, tf::tstring* out) {
    if (n && table.plan().serving()) throw ServingNotSaved(table.config().name);
    const EntryCodec codec(table.config().name, table.plan());
    std::vector<float> floats;
    std::string entry;
    uint32_t timestamp = 0;
    for (int64_t i = 0; i < n; ++i) {
      entry.clear();
      if (table.GetRow(ids[i], &floats, &timestamp)) codec.Append({ids[i], timestamp, floats.data()}, &entry);
      out[i].assign(entry.data() + std::min(kIdBytes, entry.size()), entry.size() - std::min(kIdBytes, entry.size()));
    }
  }
};

class SaveAsTensorOp : public TablesKernel {
 public:
  explicit SaveAsTensorOp(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) { OP_REQUIRES_OK(ctx, ctx->GetAttr("table", &table_)); }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    const EmbeddingTable& table = tables->table(static_cast<size_t>(TableIndex(*tables, table_)));
    const int32_t shard = ScalarInput<int32_t>(ctx, "shard_idx"), shards = ScalarInput<int32_t>(ctx, "num_shards");
    const int64_t limit = ScalarInput<int64_t>(ctx, "limit"), offset = ScalarInput<int64_t>(ctx, "offset");
    Check(shards >= 1, "num_shards", shards, "must be 1 or more");
    Check(shard >= 0 && shard < shards, "shard_idx", shard, "must lie in [0, num_shards)");
    Check(limit >= 1, "limit", limit, "must be 1 or more");
    const EntryCodec codec(table_, table.plan());
    std::vector<std::string> entries;
    uint64_t at = static_cast<uint64_t>(offset);
    table.Walk(static_cast<size_t>(shard), static_cast<size_t>(shards), &at, static_cast<size_t>(limit),
               [&](const EmbeddingTable::Row& row) { codec.Append(row, &entries.emplace_back()); });
    tf::Tensor *next = nullptr, *out = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(0, {}, &next));
    TF_RETURN_IF_ERROR(ctx->allocate_output(1, {static_cast<int64_t>(entries.size())}, &out));
    next->scalar<int64_t>()() = static_cast<int64_t>(at);
    for (size_t i = 0; i < entries.size(); ++i) out->flat<tf::tstring>()(static_cast<int64_t>(i)) = entries[i];
    return absl::OkStatus();
  }

 private:
  void Check(bool right, const char* argument, int64_t value, const char* what) const {
    if (!right)
      throw Error(ErrorCode::kUsage, "table '" + table_ + "': " + argument + " " + what + ", not " + std::to_string(value));
  }
  std::string table_;
};

class ExtractSlotOp : public tf::OpKernel {
 public:
  explicit ExtractSlotOp(tf::OpKernelConstruction* ctx) : OpKernel(ctx) { OP_REQUIRES_OK(ctx, ctx->GetAttr("fid_v2", &v2_)); }

  void Compute(tf::OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, Guard([&] {
                     const auto entries = InputOfRank(ctx, "entry", 1).flat<tf::tstring>();
                     tf::Tensor* out = nullptr;
                     OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {entries.size()}, &out));
                     DumpedEntry entry;
                     for (int64_t i = 0; i < entries.size(); ++i)
                       out->flat<int32_t>()(i) = static_cast<int32_t>(Slot(entries(i), i, &entry));
                   }));
  }

 private:
  uint64_t Slot(const tf::tstring& bytes, int64_t i, DumpedEntry* entry) const {
    try {
      entry->Parse({bytes.data(), bytes.size()});
    } catch (const BadRecord& e) {
      throw Error(ErrorCode::kBadData, "entry[" + std::to_string(i) + "] is no EntryDump: " + e.what());
    }
    const uint64_t id = static_cast<uint64_t>(entry->key);
    return v2_ ? fid::SlotV2(id) : fid::SlotV1(id);
  }
  bool v2_ = true;
};

class LookupGradientOp : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* ctx) override {
    absl::Status inner;
    OP_REQUIRES_OK(ctx, Guard([&] { inner = Run(ctx); }));
    OP_REQUIRES_OK(ctx, inner);
  }

 private:
  static absl::Status Run(tf::OpKernelContext* ctx) {
    const tf::Tensor& indices = InputOfRank(ctx, "id_indices", 2);
    const tf::Tensor& ids = InputOfRank(ctx, "id_values", 1);
    const tf::Tensor& grads = InputOfRank(ctx, "input_grads", 2);
    const int64_t n = ids.NumElements(), rows = grads.dim_size(0), dim = grads.dim_size(1);
    if (indices.dim_size(0) != n)
      throw Error(ErrorCode::kUsage, "id_indices has " + std::to_string(indices.dim_size(0)) + " rows, but id_values " + std::to_string(n));
    if (n && indices.dim_size(1) < 1) throw Error(ErrorCode::kUsage, "id_indices has no columns");
    tf::Tensor* out = nullptr;
    ctx->set_output(0, ids);
    TF_RETURN_IF_ERROR(ctx->allocate_output(1, {n, dim}, &out));
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = indices.matrix<int64_t>()(i, 0);
      if (row < 0 || row >= rows)
        throw Error(ErrorCode::kUsage, "id_indices[" + std::to_string(i) + ", 0] is " + std::to_string(row) + ", but input_grads has " +
                                           std::to_string(rows) + " rows");
      std::copy_n(grads.flat<float>().data() + row * dim, dim, out->flat<float>().data() + i * dim);
    }
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithTablesLookupEntry").Device(tf::DEVICE_CPU), LookupEntryOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesSaveAsTensor").Device(tf::DEVICE_CPU), SaveAsTensorOp);
REGISTER_KERNEL_BUILDER(Name("MonolithExtractSlotFromEntry").Device(tf::DEVICE_CPU), ExtractSlotOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesLookupGradient").Device(tf::DEVICE_CPU), LookupGradientOp);

}  // namespace
}  // namespace monolith
