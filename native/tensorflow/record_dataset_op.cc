// MonolithRecordDataset: the batches of a registered RecordStream as a tf.data source.
#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/io/record_stream.h"
#include "tensorflow/core/framework/cancellation.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/variant.h"
#include "tensorflow/core/framework/variant_encode_decode.h"
#include "tensorflow/core/framework/variant_op_registry.h"
#include "tensorflow/op_util.h"
#include "tensorflow/record_variant.h"

namespace monolith {

namespace tf = tensorflow;

const char RecordBatchVariant::kTypeName[] = "monolith::RecordBatch";

std::string RecordBatchVariant::DebugString() const {
  if (!batch) return "RecordBatch()";
  return "RecordBatch(type=" + std::string(RecordTypeName(batch->type)) + ", first=" + std::to_string(batch->first) +
         ", size=" + std::to_string(batch->size()) + ")";
}

void RecordBatchVariant::Encode(tf::VariantTensorData* data) const {
  data->set_type_name(TypeName());
  if (!batch) return;
  data->set_metadata(std::string(RecordTypeName(batch->type)) + " " + std::to_string(batch->first) + " " + std::to_string(batch->end));
  tf::Tensor bytes(tf::DT_STRING, tf::TensorShape({}));
  bytes.scalar<tf::tstring>()() = batch->bytes;
  const int64_t n = static_cast<int64_t>(batch->offsets.size());
  tf::Tensor offsets(tf::DT_UINT64, tf::TensorShape({n}));
  std::copy(batch->offsets.begin(), batch->offsets.end(), offsets.vec<uint64_t>().data());
  *data->add_tensors() = std::move(bytes);
  *data->add_tensors() = std::move(offsets);
}

bool RecordBatchVariant::Decode(const tf::VariantTensorData& data) {
  if (data.tensors_size() != 2 || data.tensors(0).dtype() != tf::DT_STRING || data.tensors(0).NumElements() != 1 ||
      data.tensors(1).dtype() != tf::DT_UINT64)
    return false;
  std::string head;
  data.get_metadata(&head);
  const size_t blank = head.find(' ');
  if (blank == std::string::npos) return false;
  auto decoded = std::make_shared<RecordBatch>();
  const absl::Status parsed = Guard([&] {
    decoded->type = ParseRecordType(std::string_view(head).substr(0, blank));
    size_t digits = 0;
    const std::string numbers = head.substr(blank + 1);
    decoded->first = std::stoull(numbers, &digits);
    decoded->end = std::stoull(numbers.substr(digits));
  });
  if (!parsed.ok()) return false;
  const tf::tstring& bytes = data.tensors(0).flat<tf::tstring>()(0);
  decoded->bytes.assign(bytes.data(), bytes.size());
  const auto offsets = data.tensors(1).flat<uint64_t>();
  decoded->offsets.assign(offsets.data(), offsets.data() + offsets.size());
  uint64_t last = 0;
  for (uint64_t offset : decoded->offsets) {
    if (offset < last || offset > decoded->bytes.size()) return false;
    last = offset;
  }
  batch = std::move(decoded);
  return true;
}

using RecordBatchVariantAlias = RecordBatchVariant;
REGISTER_UNARY_VARIANT_DECODE_FUNCTION(RecordBatchVariantAlias, "monolith::RecordBatch");

namespace {

REGISTER_OP("MonolithRecordDataset")
    .Input("stream_name: string")
    .Output("handle: variant")
    .SetIsStateful()
    .SetShapeFn(tf::shape_inference::ScalarShape)
    .Doc("Dataset of scalar variants: the record batches of the registered stream `stream_name`.");

REGISTER_OP("MonolithRecordBatchInfo")
    .Input("records: variant")
    .Output("first: int64")
    .Output("size: int64")
    .Output("end: int64")
    .SetShapeFn([](tf::shape_inference::InferenceContext* c) {
      for (int i = 0; i < 3; ++i) c->set_output(i, c->Scalar());
      return absl::OkStatus();
    })
    .Doc("Number of the first record of a batch over the whole stream, how many records it holds, and the number of the next record "
         "behind it, records left out included.");

class RecordDatasetOp : public tf::data::DatasetOpKernel {
 public:
  using DatasetOpKernel::DatasetOpKernel;

 protected:
  void MakeDataset(tf::OpKernelContext* ctx, tf::data::DatasetBase** output) override {
    tf::tstring name;
    OP_REQUIRES_OK(ctx, tf::data::ParseScalarArgument<tf::tstring>(ctx, "stream_name", &name));
    *output = new Dataset(ctx, std::string(name));
  }

 private:
  class Dataset : public tf::data::DatasetBase {
   public:
    Dataset(tf::OpKernelContext* ctx, std::string name)
        : DatasetBase(tf::data::DatasetContext(ctx)), stream_name_(std::move(name)) {}

    std::unique_ptr<tf::data::IteratorBase> MakeIteratorInternal(const std::string& prefix) const override {
      return std::make_unique<Iterator>(Iterator::Params{this, prefix + "::MonolithRecord"});
    }
    const tf::DataTypeVector& output_dtypes() const override {
      static const auto* dtypes = new tf::DataTypeVector({tf::DT_VARIANT});
      return *dtypes;
    }
    const std::vector<tf::PartialTensorShape>& output_shapes() const override {
      static const auto* shapes = new std::vector<tf::PartialTensorShape>({tf::PartialTensorShape({})});
      return *shapes;
    }
    std::string DebugString() const override { return "MonolithRecordDataset(" + stream_name_ + ")"; }
    absl::Status InputDatasets(std::vector<const DatasetBase*>* inputs) const override {
      inputs->clear();
      return absl::OkStatus();
    }
    absl::Status CheckExternalState() const override { return absl::OkStatus(); }

   protected:
    absl::Status AsGraphDefInternal(tf::data::SerializationContext*, DatasetGraphDefBuilder* b,
                                    tf::Node** output) const override {
      tf::Node* name = nullptr;
      TF_RETURN_IF_ERROR(b->AddScalar(tf::tstring(stream_name_), &name));
      return b->AddDataset(this, {name}, output);
    }

   private:
    // The stream is held by the iterator, not by the dataset: it ends with the session that reads it.
    class Iterator : public tf::data::DatasetIterator<Dataset> {
     public:
      explicit Iterator(const Params& params) : DatasetIterator<Dataset>(params) {}
      ~Iterator() override {
        if (deregister_) deregister_();
      }

      absl::Status Initialize(tf::data::IteratorContext* ctx) override {
        stream_ = FindStream(dataset()->stream_name_);
        if (!stream_) {
          return ToStatus(ErrorCode::kInternal, "there is no record stream named '" + dataset()->stream_name_ +
                                                    "'; register it before the iterator is made");
        }
        return tf::RegisterCancellationCallback(
            ctx->cancellation_manager(),
            [this] {
              cancelled_ = true;
              stream_->Stop();
            },
            &deregister_);
      }

     protected:
      absl::Status GetNextInternal(tf::data::IteratorContext*, std::vector<tf::Tensor>* out, bool* end) override {
        std::shared_ptr<RecordBatch> batch;
        TF_RETURN_IF_ERROR(Guard([&] { batch = stream_->Next(); }));
        if (cancelled_) return absl::CancelledError("reading of records was cancelled");
        *end = batch == nullptr;
        if (*end) return absl::OkStatus();
        tf::Tensor element(tf::DT_VARIANT, tf::TensorShape({}));
        element.scalar<tf::Variant>()() = RecordBatchVariant{std::move(batch)};
        out->push_back(std::move(element));
        return absl::OkStatus();
      }
      absl::Status SaveInternal(tf::data::SerializationContext*, tf::data::IteratorStateWriter*) override {
        return absl::UnimplementedError("the position of a record stream is kept by the trainer's checkpoint");
      }
      absl::Status RestoreInternal(tf::data::IteratorContext*, tf::data::IteratorStateReader*) override {
        return absl::UnimplementedError("the position of a record stream is kept by the trainer's checkpoint");
      }

     private:
      std::shared_ptr<RecordStream> stream_;
      std::atomic<bool> cancelled_{false};
      std::function<void()> deregister_;
    };

    const std::string stream_name_;
  };
};

class RecordBatchInfoOp : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* ctx) override {
    const tf::Tensor& records = ctx->input(0);
    OP_REQUIRES(ctx, tf::TensorShapeUtils::IsScalar(records.shape()),
                absl::InvalidArgumentError("records must be a scalar, one batch of a record dataset"));
    const auto* variant = records.scalar<tf::Variant>()().get<RecordBatchVariant>();
    OP_REQUIRES(ctx, variant && variant->batch, absl::InvalidArgumentError("records is no batch of a record dataset"));
    tf::Tensor *first = nullptr, *size = nullptr, *end = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {}, &first));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, {}, &size));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(2, {}, &end));
    first->scalar<int64_t>()() = static_cast<int64_t>(variant->batch->first);
    size->scalar<int64_t>()() = static_cast<int64_t>(variant->batch->size());
    end->scalar<int64_t>()() = static_cast<int64_t>(variant->batch->end);
  }
};

REGISTER_KERNEL_BUILDER(Name("MonolithRecordDataset").Device(tf::DEVICE_CPU), RecordDatasetOp);
REGISTER_KERNEL_BUILDER(Name("MonolithRecordBatchInfo").Device(tf::DEVICE_CPU), RecordBatchInfoOp);

}  // namespace
}  // namespace monolith
