// MonolithParseRecords: a batch of records -> ragged fids and dense matrices, through the core's RecordParser.
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/parse/parse.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/variant.h"
#include "tensorflow/op_util.h"
#include "tensorflow/record_variant.h"
#include "tensorflow/scratch_pool.h"

namespace monolith {
namespace {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;

// Rows are known when the records are: a vector of known length, unless each of them holds many rows.
absl::Status ParseShapes(InferenceContext* c) {
  std::string record_type;
  TF_RETURN_IF_ERROR(c->GetAttr("record_type", &record_type));
  std::vector<int> widths;
  TF_RETURN_IF_ERROR(c->GetAttr("dense_widths", &widths));
  int num_sparse = 0;
  TF_RETURN_IF_ERROR(c->GetAttr("num_sparse", &num_sparse));
  auto rows = c->UnknownDim(), splits = c->UnknownDim();
  if (c->RankKnown(c->input(0)) && c->Rank(c->input(0)) == 1 && record_type != "example_batch") {
    rows = c->Dim(c->input(0), 0);
    TF_RETURN_IF_ERROR(c->Add(rows, 1, &splits));
  }
  int output = 0;
  for (int i = 0; i < num_sparse; ++i) c->set_output(output++, c->Vector(splits));
  for (int i = 0; i < num_sparse; ++i) c->set_output(output++, c->Vector(c->UnknownDim()));
  for (int width : widths) c->set_output(output++, c->Matrix(rows, width));
  return absl::OkStatus();
}

REGISTER_OP("MonolithParseRecords")
    .Input("records: T")
    .Output("row_splits: num_sparse * int64")
    .Output("values: num_sparse * int64")
    .Output("dense: dense_types")
    .Attr("T: {variant, string}")
    .Attr("record_type: {'instance', 'example', 'example_batch'}")
    .Attr("num_sparse: int >= 0")
    .Attr("fidv1_slots: list(int) >= 0")
    .Attr("fidv1_names: list(string) >= 0")
    .Attr("fidv2_names: list(string) >= 0")
    .Attr("dense_names: list(string) >= 0")
    .Attr("num_extra: int >= 0 = 0")
    .Attr("dense_widths: list(int) >= 0")
    .Attr("dense_types: list({float, int64, string}) >= 0")
    .SetShapeFn(ParseShapes)
    .Doc("Columns of a batch of records. The last `num_extra` dense names are fields of the LineId.");

ColumnType ColumnTypeOf(tf::DataType type) {
  if (type == tf::DT_FLOAT) return ColumnType::kFloat;
  return type == tf::DT_INT64 ? ColumnType::kInt64 : ColumnType::kString;
}

struct ParseScratch {
  ParsedColumns columns;
  std::vector<std::string_view> records;
};

class ParseRecordsOp : public tf::OpKernel {
 public:
  explicit ParseRecordsOp(tf::OpKernelConstruction* ctx) : OpKernel(ctx) {
    ParseSpec spec;
    OP_REQUIRES_OK(ctx, ReadSpec(ctx, &spec));
    OP_REQUIRES_OK(ctx, Guard([&] { parser_ = std::make_unique<RecordParser>(std::move(spec)); }));
    CheckExtraTypes(ctx);
  }

  void Compute(tf::OpKernelContext* ctx) override {
    auto scratch = scratch_.Take();
    OP_REQUIRES_OK(ctx, Guard([&] { Parse(ctx->input(0), scratch.get()); }));
    OP_REQUIRES_OK(ctx, Emit(ctx, scratch->columns));
    scratch_.Return(std::move(scratch));
  }

 private:
  static absl::Status ReadSpec(tf::OpKernelConstruction* ctx, ParseSpec* spec) {
    std::string type;
    std::vector<int> slots, widths;
    std::vector<std::string> slot_names, dense_names;
    tf::DataTypeVector dense_types;
    int num_extra = 0, num_sparse = 0;
    TF_RETURN_IF_ERROR(ctx->GetAttr("record_type", &type));
    TF_RETURN_IF_ERROR(ctx->GetAttr("num_sparse", &num_sparse));
    TF_RETURN_IF_ERROR(ctx->GetAttr("fidv1_slots", &slots));
    TF_RETURN_IF_ERROR(ctx->GetAttr("fidv1_names", &slot_names));
    TF_RETURN_IF_ERROR(ctx->GetAttr("fidv2_names", &spec->fidv2));
    TF_RETURN_IF_ERROR(ctx->GetAttr("dense_names", &dense_names));
    TF_RETURN_IF_ERROR(ctx->GetAttr("dense_widths", &widths));
    TF_RETURN_IF_ERROR(ctx->GetAttr("dense_types", &dense_types));
    TF_RETURN_IF_ERROR(ctx->GetAttr("num_extra", &num_extra));
    const size_t dense = dense_names.size();
    if (slots.size() != slot_names.size() || dense != widths.size() || dense != dense_types.size() ||
        static_cast<size_t>(num_extra) > dense ||
        static_cast<size_t>(num_sparse) != slots.size() + spec->fidv2.size())
      return ToStatus(ErrorCode::kInternal, "MonolithParseRecords: attributes of different lengths");
    TF_RETURN_IF_ERROR(Guard([&] { spec->type = ParseRecordType(type); }));
    for (size_t i = 0; i < slots.size(); ++i) spec->fidv1.push_back({slots[i], slot_names[i]});
    for (size_t i = 0; i < dense; ++i) {
      if (i + num_extra < dense)
        spec->dense.push_back({dense_names[i], widths[i], ColumnTypeOf(dense_types[i])});
      else
        spec->extra.push_back({dense_names[i], widths[i]});
    }
    return absl::OkStatus();
  }

  // The graph was built with a type for each field of the LineId; the parser knows them itself.
  void CheckExtraTypes(tf::OpKernelConstruction* ctx) {
    tf::DataTypeVector types;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("dense_types", &types));
    const ParsedColumns layout = parser_->Layout();
    for (size_t i = 0; i < layout.extra.size(); ++i) {
      OP_REQUIRES(ctx, ColumnTypeOf(types[layout.dense.size() + i]) == layout.extra[i].type,
                  ToStatus(ErrorCode::kConfig, "extra feature '" + layout.extra[i].name +
                                                   "' has another type in the LineId than the graph was built with"));
    }
  }

  void Parse(const tf::Tensor& input, ParseScratch* scratch) const {
    if (input.dtype() == tf::DT_VARIANT) return parser_->Parse(BatchOf(input), &scratch->columns);
    if (input.dims() > 1)
      throw Error(ErrorCode::kUsage, "serialized records must be a vector, not a tensor of shape " +
                                         input.shape().DebugString());
    const auto strings = input.flat<tf::tstring>();
    scratch->records.clear();
    for (int64_t i = 0; i < strings.size(); ++i) scratch->records.emplace_back(strings(i).data(), strings(i).size());
    parser_->Parse(scratch->records.data(), scratch->records.size(), &scratch->columns);
  }

  const RecordBatch& BatchOf(const tf::Tensor& input) const {
    const auto* variant =
        input.NumElements() == 1 ? input.flat<tf::Variant>()(0).get<RecordBatchVariant>() : nullptr;
    if (!variant || !variant->batch) throw Error(ErrorCode::kUsage, "records must be one batch of a record dataset");
    const RecordType wanted = parser_->spec().type;
    if (variant->batch->type != wanted)
      throw Error(ErrorCode::kConfig, std::string("the input holds records of type ") +
                                          RecordTypeName(variant->batch->type) + ", but the model parses them as " +
                                          RecordTypeName(wanted) + "; give --type " + RecordTypeName(wanted) +
                                          " or call the parse function of the other type");
    return *variant->batch;
  }

  static absl::Status Emit(tf::OpKernelContext* ctx, const ParsedColumns& columns) {
    const int sparse = static_cast<int>(columns.sparse.size());
    for (int i = 0; i < sparse; ++i) {
      TF_RETURN_IF_ERROR(EmitVector(ctx, i, columns.sparse[i].row_splits));
      TF_RETURN_IF_ERROR(EmitVector(ctx, sparse + i, columns.sparse[i].values));
    }
    int output = 2 * sparse;
    const int64_t rows = static_cast<int64_t>(columns.rows);
    for (const DenseColumn& c : columns.dense) TF_RETURN_IF_ERROR(EmitDense(ctx, output++, rows, c));
    for (const DenseColumn& c : columns.extra) TF_RETURN_IF_ERROR(EmitDense(ctx, output++, rows, c));
    return absl::OkStatus();
  }

  static absl::Status EmitVector(tf::OpKernelContext* ctx, int output, const std::vector<int64_t>& from) {
    tf::Tensor* to = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(output, {static_cast<int64_t>(from.size())}, &to));
    std::copy(from.begin(), from.end(), to->flat<int64_t>().data());
    return absl::OkStatus();
  }

  static absl::Status EmitDense(tf::OpKernelContext* ctx, int output, int64_t rows, const DenseColumn& from) {
    tf::Tensor* to = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(output, {rows, from.width}, &to));
    if (from.type == ColumnType::kFloat) {
      std::copy(from.floats.begin(), from.floats.end(), to->flat<float>().data());
    } else if (from.type == ColumnType::kInt64) {
      std::copy(from.ints.begin(), from.ints.end(), to->flat<int64_t>().data());
    } else {
      auto strings = to->flat<tf::tstring>();
      for (size_t i = 0; i < from.strings.size(); ++i)
        strings(i).assign(from.strings[i].data(), from.strings[i].size());
    }
    return absl::OkStatus();
  }

  std::unique_ptr<RecordParser> parser_;
  ScratchPool<ParseScratch> scratch_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithParseRecords").Device(tf::DEVICE_CPU), ParseRecordsOp);

}  // namespace
}  // namespace monolith
