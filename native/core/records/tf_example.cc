#include "core/records/tf_example.h"

#include <cmath>
#include <set>

#include "core/base/fid.h"
#include "core/base/hash.h"
#include "core/records/example_view.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;
using wire::Writer;

// Field numbers of tensorflow/core/example.
constexpr uint32_t kFeatures = 1, kFeatureEntry = 1, kKey = 1, kValue = 2, kBytes = 1, kFloat = 2, kInt64 = 3;

Type ElementOf(uint32_t kind) {
  return kind == kFloat ? Type::kFixed32 : kind == kInt64 ? Type::kVarint : Type::kBytes;
}

struct Value {
  uint32_t kind = 0;  // kBytes, kFloat, kInt64; 0 when nothing is set
  std::string_view content;
};

Value ReadValue(std::string_view feature, Scratch* scratch) {
  Value value;
  Merged content;
  Reader reader(feature);
  Field f;
  while (reader.Next(&f)) {
    if (f.number < kBytes || f.number > kInt64 || f.type != Type::kBytes) continue;
    if (f.number != value.kind) content.Clear();
    value.kind = f.number;
    content.Add(f.bytes, scratch);
  }
  value.content = content.view();
  Reader list(value.content);
  std::string_view elements;
  while (value.kind && list.Next(&f))
    if (f.number == schema::kListValue && value.kind != kBytes) Elements(f, ElementOf(value.kind), &elements);
  return value;
}

uint64_t FloatSignature(float v) {
  if (!std::isfinite(v)) return 0;
  return static_cast<uint64_t>(std::log2(std::fabs(v) + 1.0f));
}

void Require(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorCode::kUsage, message);
}

}  // namespace

struct TfExampleOperator::Impl {
  struct Wanted {
    std::string name;
    int64_t slot = 0;
    bool sparse = false;
    Value value;  // in the record at hand
    bool present = false;
  };

  TfExampleOptions options;
  std::vector<Wanted> wanted;
  std::map<std::string, size_t, std::less<>> by_name;
  int label = -1, weight = -1;
  Scratch scratch;
  std::string out, fids;
  uint64_t label_missing = 0, label_not_float = 0, weight_not_one_float = 0, bytes_not_hashed = 0;

  int Want(const std::string& name, bool sparse, int64_t slot) {
    Require(!name.empty(), "a feature of a tf.train.Example needs a name");
    Require(by_name.emplace(name, wanted.size()).second, "feature '" + name + "' is asked for twice");
    wanted.push_back({name, slot, sparse, {}, false});
    return static_cast<int>(wanted.size()) - 1;
  }

  void Read(std::string_view record);
  void ReadEntry(std::string_view entry);
  void WriteSparse(const Wanted& w);
  void WriteDense(const Wanted& w);
  void WriteRow();
};

TfExampleOperator::TfExampleOperator(TfExampleOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->options = std::move(options);
  const TfExampleOptions& o = impl_->options;
  std::set<int64_t> slots;
  for (const auto& [name, slot] : o.sparse) {
    Require(slot >= 1 && slot < static_cast<int64_t>(fid::kSlotsV2),
            "slot " + std::to_string(slot) + " of feature '" + name + "' is not in 1..32767");
    Require(slots.insert(slot).second, "slot " + std::to_string(slot) + " is given to two features");
    impl_->Want(name, true, slot);
  }
  for (const std::string& name : o.dense) impl_->Want(name, false, 0);
  if (!o.label.empty()) impl_->label = impl_->Want(o.label, false, 0);
  if (!o.instance_weight.empty()) impl_->weight = impl_->Want(o.instance_weight, false, 0);
  for (const auto& w : impl_->wanted) CheckUtf8(w.name, "the name of a feature");
}

TfExampleOperator::~TfExampleOperator() = default;

void TfExampleOperator::Impl::Read(std::string_view record) {
  scratch.Reset();
  for (Wanted& w : wanted) w.present = false;
  Merged features;
  Field f;
  for (Reader reader(record); reader.Next(&f);)
    if (f.number == kFeatures && f.type == Type::kBytes) features.Add(f.bytes, &scratch);
  for (Reader reader(features.view()); reader.Next(&f);)
    if (f.number == kFeatureEntry && f.type == Type::kBytes) ReadEntry(f.bytes);
}

// One entry of a map: of a key that comes twice the last counts.
void TfExampleOperator::Impl::ReadEntry(std::string_view entry) {
  std::string_view key;
  Merged value;
  Reader reader(entry);
  Field f;
  while (reader.Next(&f)) {
    if (f.type != Type::kBytes) continue;
    if (f.number == kKey) key = f.bytes;
    if (f.number == kValue) value.Add(f.bytes, &scratch);
  }
  const auto it = by_name.find(key);
  if (it == by_name.end()) return;
  wanted[it->second].present = true;
  wanted[it->second].value = ReadValue(value.view(), &scratch);
}

void TfExampleOperator::Impl::WriteSparse(const Wanted& w) {
  const auto slot = static_cast<uint64_t>(w.slot);
  fids.clear();
  const auto add = [&](uint64_t signature) {
    const uint64_t f = fid::MakeV2(slot, signature);
    fids.append(reinterpret_cast<const char*>(&f), 8);
  };
  const bool bytes = w.value.kind == kBytes;
  bytes_not_hashed += bytes && !options.hash_bytes;
  if (w.value.kind == 0 || (bytes && !options.hash_bytes))
    return WriteNamedFeature(schema::example::kNamedFeature, w.name, slot, 0, {}, false, &out);
  Reader reader(w.value.content);
  Field f;
  while (reader.Next(&f)) {
    if (f.number != schema::kListValue) continue;
    if (bytes && f.type == Type::kBytes) add(CityHash64(f.bytes));
    if (w.value.kind == kInt64 && (f.type == Type::kVarint || f.type == Type::kBytes)) wire::ForEachVarint(f, add);
    if (w.value.kind == kFloat && (f.type == Type::kFixed32 || f.type == Type::kBytes))
      wire::ForEachFixed<float>(f, [&](float v) { add(FloatSignature(v)); });
  }
  WriteNamedFeature(schema::example::kNamedFeature, w.name, slot, schema::feature::kFidV2List, fids, true, &out);
}

void TfExampleOperator::Impl::WriteDense(const Wanted& w) {
  static constexpr uint32_t kKinds[] = {0, schema::feature::kBytesList, schema::feature::kFloatList,
                                        schema::feature::kInt64List};
  // The lists of both have the same layout, so that they go over as they are.
  WriteNamedFeature(schema::example::kNamedFeature, w.name, 0, kKinds[w.value.kind], w.value.content, false, &out);
}

void TfExampleOperator::Impl::WriteRow() {
  RowFields row;
  row.has_weight = true;
  row.weight = 1;
  if (label >= 0) {
    const Wanted& w = wanted[label];
    label_missing += !w.present;
    label_not_float += w.present && w.value.kind != kFloat;
    if (w.present && w.value.kind == kFloat)
      row.label.Add(ListElements(w.value.content, Type::kFixed32, &scratch), &scratch);
  }
  if (weight >= 0) {
    const Wanted& w = wanted[weight];
    std::string_view floats;
    if (w.present && w.value.kind == kFloat) floats = ListElements(w.value.content, Type::kFixed32, &scratch);
    if (floats.size() == 4)
      row.weight = LoadFloat(floats);
    else
      ++weight_not_one_float;
  }
  WriteRowFields(row, 0, &out);
}

void TfExampleOperator::Process(const Record& record, RecordSink* next) {
  Impl& impl = *impl_;
  impl.Read(record.payload);
  impl.out.clear();
  for (size_t i = 0; i < impl.wanted.size(); ++i) {
    const auto& w = impl.wanted[i];
    const int index = static_cast<int>(i);
    if (!w.present || index == impl.label || index == impl.weight) continue;
    w.sparse ? impl.WriteSparse(w) : impl.WriteDense(w);
  }
  impl.WriteRow();
  Record made = record;
  made.payload = impl.out;
  made.framed = false;
  next->Write(made);
}

std::map<std::string, uint64_t> TfExampleOperator::Notes() const {
  std::map<std::string, uint64_t> notes;
  const auto add = [&](const char* name, uint64_t n) {
    if (n) notes[name] = n;
  };
  add("label_missing", impl_->label_missing);
  add("label_not_float", impl_->label_not_float);
  add("weight_not_one_float", impl_->weight_not_one_float);
  add("bytes_not_hashed", impl_->bytes_not_hashed);
  return notes;
}

}  // namespace monolith
