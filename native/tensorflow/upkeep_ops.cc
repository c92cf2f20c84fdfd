// Upkeep of tables inside a graph (spec 30, 6.1 and 11): starting rows anew, taking them away, files of one table, counts of rows in
// checkpoints.
#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "core/tables/checkpoint.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow/op_checks.h"
#include "tensorflow/tables_resource.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;

REGISTER_OP("MonolithTablesReinitialize")
    .Input("handle: resource")
    .Input("table_name: string")
    .Input("id: int64")
    .Output("updated_handle: resource")
    .Output("id_status: int32")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{1, "table_name", 0}, {2, "id", 1}}));
      c->set_output(0, c->Scalar());
      c->set_output(1, c->input(2));
      return absl::OkStatus();
    })
    .Doc("Weights and optimizer state of ids as of new ones, at the time of the clock. id_status: 0 for an id that was inserted, 1 for "
         "one that was there, -1 for all when there is no such table.");

REGISTER_OP("MonolithTablesErase")
    .Input("handle: resource")
    .Input("id: int64")
    .Output("updated_handle: resource")
    .Output("erased: int64")
    .Attr("table: string")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{1, "id", 1}}));
      c->set_output(0, c->Scalar());
      c->set_output(1, c->Scalar());
      return absl::OkStatus();
    })
    .Doc("Takes ids away; how many were there.");

REGISTER_OP("MonolithTablesEvict")
    .Input("handle: resource")
    .Input("time: int64")
    .Output("updated_handle: resource")
    .Output("evicted: int64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{1, "time", 0}}));
      c->set_output(0, c->Scalar());
      c->set_output(1, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc("Takes the rows away that have expired at `time`, in unix seconds: time - last update >= the days their slot is kept. How many "
         "those were of each table, tables in sorted order of their names.");

absl::Status FileShapes(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckRanks(c, {{1, "basename", 0}}));
  c->set_output(0, c->Scalar());
  return absl::OkStatus();
}

REGISTER_OP("MonolithTablesSaveTable")
    .Input("handle: resource")
    .Input("basename: string")
    .Output("updated_handle: resource")
    .Attr("table: string")
    .Attr("shards: int = -1")
    .Attr("random_sleep_ms: int = 0")
    .SetIsStateful()
    .SetShapeFn(FileShapes)
    .Doc("Writes one table as plain TFRecords of EntryDump, <basename>-ddddd-of-ddddd, after a random time below random_sleep_ms.");

REGISTER_OP("MonolithTablesRestoreTable")
    .Input("handle: resource")
    .Input("basename: string")
    .Output("updated_handle: resource")
    .Attr("table: string")
    .SetIsStateful()
    .SetShapeFn(FileShapes)
    .Doc("Replaces the content of one table by that of files as MonolithTablesSaveTable writes them.");

REGISTER_OP("MonolithTablesFeatureStat")
    .Input("basename: string")
    .Output("features: string")
    .Output("counts: uint64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      TF_RETURN_IF_ERROR(CheckRanks(c, {{0, "basename", 0}}));
      c->set_output(0, c->Vector(c->UnknownDim()));
      c->set_output(1, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc("How many rows each table has in a checkpoint of all tables.");

class ReinitializeOp : public TablesKernel {
 public:
  using TablesKernel::TablesKernel;

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    const std::string table = ScalarInput<tf::tstring>(ctx, "table_name");
    const tf::Tensor& ids = InputOfRank(ctx, "id", 1);
    tf::Tensor* status = nullptr;
    ctx->set_output(0, ctx->input(0));
    TF_RETURN_IF_ERROR(ctx->allocate_output(1, ids.shape(), &status));
    const int index = tables->IndexOf(table);
    if (index < 0) {
      LOG(WARNING) << "there is no table '" << table << "' to reinitialize ids of";
      status->flat<int32_t>().setConstant(-1);
      return absl::OkStatus();
    }
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    tables->table(static_cast<size_t>(index))
        .Reinitialize(ids.flat<int64_t>().data(), static_cast<size_t>(ids.NumElements()),
                      static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count()),
                      status->flat<int32_t>().data());
    return absl::OkStatus();
  }
};

// A kernel about one table, which its attribute `table` names.
class TableKernel : public TablesKernel {
 public:
  explicit TableKernel(tf::OpKernelConstruction* ctx) : TablesKernel(ctx) { OP_REQUIRES_OK(ctx, ctx->GetAttr("table", &table_)); }

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) final {
    ctx->set_output(0, ctx->input(0));
    return RunTable(ctx, &tables->table(static_cast<size_t>(TableIndex(*tables, table_))));
  }
  virtual absl::Status RunTable(tf::OpKernelContext* ctx, EmbeddingTable* table) = 0;

 private:
  std::string table_;
};

class EraseOp : public TableKernel {
 public:
  using TableKernel::TableKernel;

 private:
  absl::Status RunTable(tf::OpKernelContext* ctx, EmbeddingTable* table) override {
    const tf::Tensor& ids = InputOfRank(ctx, "id", 1);
    tf::Tensor* erased = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(1, {}, &erased));
    erased->scalar<int64_t>()() =
        static_cast<int64_t>(table->Erase(ids.flat<int64_t>().data(), static_cast<size_t>(ids.NumElements())));
    return absl::OkStatus();
  }
};

class EvictOp : public TablesKernel {
 public:
  using TablesKernel::TablesKernel;

 protected:
  absl::Status Run(tf::OpKernelContext* ctx, MultiTable* tables) override {
    const int64_t time = ScalarInput<int64_t>(ctx, "time");
    tf::Tensor* evicted = nullptr;
    ctx->set_output(0, ctx->input(0));
    TF_RETURN_IF_ERROR(ctx->allocate_output(1, {static_cast<int64_t>(tables->num_tables())}, &evicted));
    for (size_t t = 0; t < tables->num_tables(); ++t)
      evicted->flat<int64_t>()(static_cast<int64_t>(t)) = static_cast<int64_t>(tables->table(t).Evict(time));
    return absl::OkStatus();
  }
};

class SaveTableOp : public TableKernel {
 public:
  explicit SaveTableOp(tf::OpKernelConstruction* ctx) : TableKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shards", &shards_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("random_sleep_ms", &random_sleep_ms_));
    OP_REQUIRES(ctx, random_sleep_ms_ >= 0,
                ToStatus(ErrorCode::kUsage, "random_sleep_ms must not be negative, not " + std::to_string(random_sleep_ms_)));
  }

 private:
  absl::Status RunTable(tf::OpKernelContext* ctx, EmbeddingTable* table) override {
    if (random_sleep_ms_ > 0) {
      std::uniform_real_distribution<double> milliseconds(0, random_sleep_ms_);
      std::random_device random;
      std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(milliseconds(random)));
    }
    SaveTable(*table, ScalarInput<tf::tstring>(ctx, "basename"), shards_);
    return absl::OkStatus();
  }
  int shards_ = -1, random_sleep_ms_ = 0;
};

class RestoreTableOp : public TableKernel {
 public:
  using TableKernel::TableKernel;

 private:
  absl::Status RunTable(tf::OpKernelContext* ctx, EmbeddingTable* table) override {
    RestoreTable(table, ScalarInput<tf::tstring>(ctx, "basename"));
    return absl::OkStatus();
  }
};

class FeatureStatOp : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, Guard([&] {
                     const auto found = FeatureCounts(ScalarInput<tf::tstring>(ctx, "basename"));
                     tf::Tensor *features = nullptr, *counts = nullptr;
                     OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {static_cast<int64_t>(found.size())}, &features));
                     OP_REQUIRES_OK(ctx, ctx->allocate_output(1, {static_cast<int64_t>(found.size())}, &counts));
                     int64_t i = 0;
                     for (const auto& [name, count] : found) {
                       features->flat<tf::tstring>()(i) = name;
                       counts->flat<uint64_t>()(i++) = count;
                     }
                   }));
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithTablesReinitialize").Device(tf::DEVICE_CPU), ReinitializeOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesErase").Device(tf::DEVICE_CPU), EraseOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesEvict").Device(tf::DEVICE_CPU), EvictOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesSaveTable").Device(tf::DEVICE_CPU), SaveTableOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesRestoreTable").Device(tf::DEVICE_CPU), RestoreTableOp);
REGISTER_KERNEL_BUILDER(Name("MonolithTablesFeatureStat").Device(tf::DEVICE_CPU), FeatureStatOp);

}  // namespace
}  // namespace monolith
