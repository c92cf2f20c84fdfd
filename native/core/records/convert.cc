#include "core/records/convert.h"

#include "core/records/batch_builder.h"
#include "core/records/batch_rows.h"
#include "core/records/instance_builder.h"
#include "core/records/instance_to_example.h"
#include "core/records/prune.h"

namespace monolith {
namespace {

// A batch that has grown to this is handed on before it has all its rows.
constexpr size_t kMaxBatchBytes = size_t{256} << 20;

class Convert : public Operator {
 public:
  const char* name() const override { return "convert"; }

 protected:
  // Hands on what came of `origin`.
  static void Emit(std::string_view payload, const Record& origin, RecordSink* next) {
    Record record = origin;
    record.payload = payload;
    record.framed = false;
    next->Write(record);
  }

  std::string row_;  // the record in the making
};

class Pass : public Convert {
 public:
  void Process(const Record& record, RecordSink* next) override { next->Write(record); }
};

class Prune : public Convert {
 public:
  Prune(RecordType type, Pruning pruning) : type_(type), pruning_(pruning) {}
  void Process(const Record& record, RecordSink* next) override {
    row_.clear();
    if (type_ == RecordType::kExample)
      PruneExample(record.payload, pruning_, &view_, &scratch_, &row_);
    else
      PruneExampleBatch(record.payload, pruning_, &row_);
    Emit(row_, record, next);
  }

 private:
  RecordType type_;
  Pruning pruning_;
  Scratch scratch_;
  ExampleView view_;
};

class FromInstance : public Convert {
 public:
  void Process(const Record& record, RecordSink* next) override {
    row_.clear();
    convert_.Convert(record.payload, &row_);
    Emit(row_, record, next);
  }

 private:
  InstanceToExample convert_;
};

class ToInstance : public Convert {
 public:
  explicit ToInstance(Pruning pruning) : pruning_(pruning) {}
  void Process(const Record& record, RecordSink* next) override {
    scratch_.Reset();
    view_.Read(record.payload, &scratch_);
    builder_.Clear();
    if (pruning_ != Pruning::kFeature)
      for (const NamedFeatureView& f : view_.features) builder_.Add(f.name, f.feature, &scratch_);
    row_.clear();
    builder_.Finish(view_.row, view_.data_source_key, &row_);
    Emit(row_, record, next);
  }

 private:
  Pruning pruning_;
  Scratch scratch_;
  ExampleView view_;
  InstanceBuilder builder_;
};

class ToRows : public Convert {
 public:
  ToRows(RecordType to, Pruning pruning) : to_(to), rows_(pruning) {}
  void Process(const Record& record, RecordSink* next) override {
    rows_.Read(record.payload);
    for (size_t i = 0; i < rows_.size(); ++i) {
      row_.clear();
      to_ == RecordType::kExample ? rows_.WriteExample(i, &row_) : rows_.WriteInstance(i, &row_);
      Emit(row_, record, next);
    }
  }

 private:
  RecordType to_;
  BatchRows rows_;
};

class ToBatch : public Convert {
 public:
  explicit ToBatch(const ConvertOptions& options)
      : from_instance_(options.from == RecordType::kInstance),
        batch_size_(options.batch_size),
        builder_(from_instance_ ? Pruning::kAsIs : options.pruning) {}

  void Process(const Record& record, RecordSink* next) override {
    scratch_.Reset();
    std::string_view example = record.payload;
    if (from_instance_) {
      row_.clear();
      convert_.Convert(example, &row_);
      example = row_;
    }
    view_.Read(example, &scratch_);
    CheckFeatures();
    if (!builder_.Takes(view_)) EmitBatch(next);
    builder_.Add(view_);
    last_ = record;
    last_.payload = {};
    if (builder_.rows() == batch_size_ || builder_.bytes() > kMaxBatchBytes) EmitBatch(next);
  }

  void Finish(RecordSink* next) override {
    if (builder_.rows()) EmitBatch(next);
  }
  bool HoldsBack() const override { return builder_.rows() > 0; }

 private:
  void CheckFeatures() {
    if (from_instance_) return;
    for (const NamedFeatureView& f : view_.features) ReadFeature(f.feature, &scratch_);
    for (const NamedFeatureView& f : view_.raw_features) CheckRawFeature(f.feature, &scratch_);
  }
  void EmitBatch(RecordSink* next) {
    batch_.clear();
    builder_.Finish(&batch_);
    Emit(batch_, last_, next);
  }

  bool from_instance_;
  size_t batch_size_;
  Scratch scratch_;
  InstanceToExample convert_;
  ExampleView view_;
  BatchBuilder builder_;
  std::string batch_;
  Record last_;
};

}  // namespace

Pruning ParsePruning(std::string_view name) {
  if (name == "as_is") return Pruning::kAsIs;
  if (name == "feature") return Pruning::kFeature;
  if (name == "raw_feature") return Pruning::kRawFeature;
  throw Error(ErrorCode::kUsage, "unknown pruning '" + std::string(name) + "': as_is, feature or raw_feature");
}

std::unique_ptr<Operator> MakeConvert(const ConvertOptions& options) {
  if (options.batch_size == 0) throw Error(ErrorCode::kUsage, "the batch size must be at least 1");
  const RecordType from = options.from, to = options.to;
  if (from == to) {
    if (from == RecordType::kInstance || options.pruning == Pruning::kAsIs) return std::make_unique<Pass>();
    return std::make_unique<Prune>(from, options.pruning);
  }
  if (to == RecordType::kExampleBatch) return std::make_unique<ToBatch>(options);
  if (from == RecordType::kExampleBatch) return std::make_unique<ToRows>(to, options.pruning);
  if (from == RecordType::kInstance) return std::make_unique<FromInstance>();
  return std::make_unique<ToInstance>(options.pruning);
}

}  // namespace monolith
