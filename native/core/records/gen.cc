#include "core/records/gen.h"

#include <algorithm>
#include <cmath>

#include "core/base/fid.h"
#include "core/records/example_view.h"
#include "core/records/line_id.h"
#include "core/records/zipf.h"

namespace monolith {
namespace {

using wire::Type;
using wire::Writer;

constexpr uint64_t kUserSlot = 1, kItemSlot = 200;  // a row has one user and one item
constexpr uint64_t kLookAround = 4096;              // records between chances to flush and to stop

void Require(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorCode::kUsage, message);
}

void AppendFloat(float v, std::string* out) { out->append(reinterpret_cast<const char*>(&v), 4); }

class Generator : public RecordReader {
 public:
  explicit Generator(const GenOptions& options);

  bool Next(Record* record) override;
  bool Buffered() const override { return made_ % kLookAround != 0 && made_ < options_.records; }
  const std::string& name() const override { return name_; }
  uint64_t offset() const override { return offset_; }

 private:
  struct Feature {
    std::string name;
    uint64_t slot;
    int version;
  };

  uint64_t Signature() { return options_.zipf > 0 ? zipf_.Draw(&random_) : 1 + random_.Below(options_.vocab); }
  void MakeFids(const Feature& feature);
  void MakeDense(const GenOptions::Dense& dense);
  void MakeLabels();
  void MakeLineId();
  void Put(const std::string& name, uint64_t slot, uint32_t example_kind, uint32_t column_field);
  void Assemble();

  const GenOptions options_;
  const std::string name_ = "generator";
  Random random_;
  Zipf zipf_;
  std::vector<Feature> features_;
  std::vector<const LineIdField*> line_id_fields_;
  uint64_t made_ = 0, offset_ = 0, user_ = 0, item_ = 0;
  double score_ = 0;  // sum of the hidden weights of the row's ids
  std::string values_, fids_, body_, labels_, line_id_, out_;
};

Generator::Generator(const GenOptions& options)
    : options_(options), random_(options.seed), zipf_(options.vocab, options.zipf) {
  Require(options.type != RecordType::kExampleBatch, "a generator makes instance or example");
  Require(options.vocab >= 1, "the vocabulary needs at least one id");
  Require(std::isfinite(options.zipf) && options.zipf >= 0, "the exponent of Zipf's law must not be negative");
  Require(options.min_fids <= options.max_fids, "the least number of fids is above the largest");
  Require(options.positive_rate >= 0 && options.positive_rate <= 1, "the rate of positive labels is not in 0..1");
  for (const uint64_t slot : options.slots) {
    fid::CheckedV1(slot, 0);
    features_.push_back({"fc_" + fid::SlotName(slot), slot, 1});
  }
  for (const auto& f : options.v2_features) {
    fid::CheckedV2(f.slot, 0);
    features_.push_back({f.name, f.slot, 2});
  }
  for (const std::string& field : options.line_id) {
    line_id_fields_.push_back(FindLineIdField(field));
    Require(line_id_fields_.back(), "LineId has no field '" + field + "'");
  }
  std::sort(line_id_fields_.begin(), line_id_fields_.end(),
            [](const LineIdField* a, const LineIdField* b) { return a->number < b->number; });
  line_id_fields_.erase(std::unique(line_id_fields_.begin(), line_id_fields_.end()), line_id_fields_.end());
}

void Generator::MakeFids(const Feature& feature) {
  const bool single = feature.slot == kUserSlot || feature.slot == kItemSlot;
  const size_t n = single ? 1 : options_.min_fids + random_.Below(options_.max_fids - options_.min_fids + 1);
  values_.clear();
  for (size_t i = 0; i < n; ++i) {
    const uint64_t signature = Signature();
    const uint64_t f =
        feature.version == 1 ? fid::MakeV1(feature.slot, signature) : fid::MakeV2(feature.slot, signature);
    values_.append(reinterpret_cast<const char*>(&f), 8);
    if (options_.learnable) {
      uint64_t state = fid::MakeV2(feature.slot, signature) ^ options_.seed;
      score_ += static_cast<double>(SplitMix64(&state) >> 11) * 0x1p-52 - 1;
    }
    if (feature.slot == kUserSlot) user_ = signature;
    if (feature.slot == kItemSlot) item_ = signature;
  }
  if (feature.version == 1 && options_.type == RecordType::kInstance)
    fids_.append(values_);
  else if (n)
    Put(feature.name, feature.slot, feature.version == 1 ? schema::feature::kFidV1List : schema::feature::kFidV2List,
        schema::column::kFid);
}

void Generator::MakeDense(const GenOptions::Dense& dense) {
  values_.clear();
  for (size_t i = 0; i < dense.size; ++i) AppendFloat(random_.UniformFloat(), &values_);
  Put(dense.name, 0, schema::feature::kFloatList, schema::column::kFloatValue);
}

// A feature of the packed values_.
void Generator::Put(const std::string& name, uint64_t slot, uint32_t example_kind, uint32_t column_field) {
  if (options_.type == RecordType::kExample)
    return WriteNamedFeature(schema::example::kNamedFeature, name, slot, example_kind, values_, true, &body_);
  Writer w(&body_);
  w.Tag(schema::instance::kFeature, Type::kBytes);
  w.RawVarint(BytesSize(schema::column::kName, name.size()) +
              (values_.empty() ? 0 : BytesSize(column_field, values_.size())));
  w.Bytes(schema::column::kName, name);
  if (!values_.empty()) w.Bytes(column_field, values_);
}

void Generator::MakeLabels() {
  labels_.clear();
  // A sum of n even numbers in [-1, 1) has the variance n / 3: scaled, labels are neither certain nor noise.
  const double scale = features_.empty() ? 1 : 2 * std::sqrt(3.0 / static_cast<double>(features_.size()));
  const double rate = options_.learnable ? 1 / (1 + std::exp(-scale * score_)) : options_.positive_rate;
  for (size_t i = 0; i < options_.labels; ++i) AppendFloat(random_.Uniform() < rate ? 1.0f : 0.0f, &labels_);
}

void Generator::MakeLineId() {
  line_id_.clear();
  Writer w(&line_id_);
  for (const LineIdField* field : line_id_fields_) {
    const uint64_t small = random_.Below(11);
    if (field->number == schema::line_id::kUid)
      w.Fixed64(field->number, fid::MakeV2(kUserSlot, user_ ? user_ : Signature()));
    else if (field->number == schema::line_id::kItemId)
      w.Fixed64(field->number, fid::MakeV2(kItemSlot, item_ ? item_ : Signature()));
    else if (field->number == schema::line_id::kReqTime)
      w.Varint(field->number, static_cast<uint64_t>(options_.start_time) + made_);
    else if (field->number == schema::line_id::kSampleRate)
      w.Float(field->number, 1);
    else if (field->kind == FieldKind::kUint64)
      w.Fixed64(field->number, small);
    else if (field->kind == FieldKind::kFloat)
      w.Float(field->number, random_.UniformFloat());
    else if (field->kind == FieldKind::kDouble)
      w.Double(field->number, random_.Uniform());
    else if (field->kind == FieldKind::kString)
      w.Bytes(field->number, std::string(field->name) + "_" + std::to_string(small));
    else if (field->kind == FieldKind::kBool)
      w.Varint(field->number, small & 1);
    else
      w.Varint(field->number, small);
  }
}

void Generator::Assemble() {
  const bool instance = options_.type == RecordType::kInstance;
  Writer w(&out_);
  if (!fids_.empty()) w.Bytes(schema::instance::kFid, fids_);
  if (instance && !labels_.empty()) w.Bytes(schema::instance::kLabel, labels_);
  if (instance && !line_id_fields_.empty()) w.Bytes(schema::instance::kLineId, line_id_);
  w.Raw(body_);
  if (instance) return;
  if (!line_id_fields_.empty()) w.Bytes(schema::example::kLineId, line_id_);
  if (!labels_.empty()) w.Bytes(schema::example::kLabel, labels_);
}

bool Generator::Next(Record* record) {
  if (made_ >= options_.records) return false;
  fids_.clear();
  body_.clear();
  out_.clear();
  user_ = item_ = 0;
  score_ = 0;
  for (const Feature& f : features_) MakeFids(f);
  for (const auto& d : options_.dense) MakeDense(d);
  MakeLabels();
  MakeLineId();
  Assemble();
  ++made_;
  record->payload = out_;
  record->framed = false;
  record->offset = offset_;
  record->end = offset_ += out_.size() + 8;
  return true;
}

}  // namespace

std::shared_ptr<RecordReader> MakeGenerator(const GenOptions& options) { return std::make_shared<Generator>(options); }

}  // namespace monolith
