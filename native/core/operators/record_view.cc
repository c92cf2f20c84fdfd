#include "core/operators/record_view.h"

#include "core/operators/fid_scan.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;

float LoadFloat(std::string_view bytes) { return LoadLe<float>(bytes.data()); }

RecordType CheckedType(RecordType type, const char* who) {
  if (type == RecordType::kExampleBatch)
    throw Error(ErrorCode::kUsage, std::string(who) +
                                       " works on single records, not on example_batch; expand it first: "
                                       "pb-convert --from example_batch --to example … | " +
                                       who + " --type example …");
  return type;
}

}  // namespace

RecordView::RecordView(RecordType type, const char* who) : type_(CheckedType(type, who)) {
  if (type_ == RecordType::kInstance) layouts_.resize(kRemembered);
}

int RecordView::WantFeature(std::string_view name) {
  for (size_t i = 0; i < named_.size(); ++i)
    if (named_[i].name == name) return static_cast<int>(i);
  named_.push_back({std::string(name), {}});
  return static_cast<int>(named_.size()) - 1;
}

void RecordView::Load(std::string_view payload) {
  origin_ = payload.data();
  line_id_.Reset();
  labels_.clear();
  weight_ = 1.0f;
  v1_.clear();
  v2_.clear();
  features_.clear();
  expanded_ = false;
  if (!storage_.empty()) storage_.clear();
  type_ == RecordType::kInstance ? LoadInstance(payload) : LoadExample(payload);
}

void RecordView::LoadInstance(std::string_view payload) {
  if (payload.size() < wire::Layout::kLeast || payload.size() > kMostRemembered) return WalkInstance(payload);
  known_ = &layouts_[payload.size() % kRemembered];
  if (known_->layout.Fits(payload)) return TakeAt(payload);
  WalkInstance(payload);
  if (!known_->layout.Miss()) return;
  wire::DecisiveBytes decisive(payload);
  if (Describe(payload, &decisive)) known_->layout.Remember(decisive);
}

void RecordView::TakeAt(std::string_view payload) {
  for (const Take& take : known_->takes) {
    const char* const p = payload.data() + take.at;
    switch (take.kind) {
      case Take::kFids: v1_.push_back({p, take.size / 8}); break;
      case Take::kLabels: AddLabels({p, take.size}); break;
      case Take::kWeight: weight_ = LoadLe<float>(p); break;
      case Take::kColumn: features_.push_back({p, take.size}); break;
    }
  }
  line_id_.TakeAt(known_->line_id, payload.data(), origin_);
}

// False when the layout is none to remember.
bool RecordView::Describe(std::string_view payload, wire::DecisiveBytes* decisive) {
  using namespace schema::instance;
  known_->takes.clear();
  known_->line_id.clear();
  wire::Reader reader(payload);
  wire::Field field;
  const auto take = [&](bool wanted, Take::Kind kind, size_t at, size_t size) {
    if (wanted) known_->takes.push_back({kind, static_cast<uint32_t>(at), static_cast<uint32_t>(size)});
  };
  while (reader.Next(&field)) {
    size_t at = 0;
    if (!decisive->Add(field, &at)) return false;
    const size_t content = field.type == Type::kBytes ? decisive->PlaceOf(field.bytes.data()) : at;
    switch (Key(field.number, field.type)) {
      case Key(kFid, Type::kBytes): take(want_fids_, Take::kFids, content, field.bytes.size()); break;
      case Key(kFid, Type::kFixed64): take(want_fids_, Take::kFids, at, 8); break;
      case Key(kFeature, Type::kBytes): take(want_fids_, Take::kColumn, content, field.bytes.size()); break;
      case Key(kLabel, Type::kBytes): take(want_labels_, Take::kLabels, content, field.bytes.size()); break;
      case Key(kLabel, Type::kFixed32): take(want_labels_, Take::kLabels, at, 4); break;
      case Key(kInstanceWeight, Type::kFixed32): take(want_weight_, Take::kWeight, at, 4); break;
      case Key(kLineId, Type::kBytes):
        if (!line_id_.empty() && !line_id_.Describe(field.bytes, decisive, &known_->line_id)) return false;
        break;
      default: break;
    }
  }
  return true;
}

void RecordView::WalkInstance(std::string_view payload) {
  using namespace schema::instance;
  Cursor c(payload, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    switch (tag) {
      case Key(kFid, Type::kBytes): {
        const std::string_view run = c.Bytes();
        if (want_fids_) v1_.push_back({run.data(), wire::PackedOf(run, 8, c).size() / 8});
        break;
      }
      case Key(kFid, Type::kFixed64):
        v1_.push_back({c.Fixed64().data(), 1});
        break;
      case Key(kFeature, Type::kBytes): {
        const std::string_view column = c.Bytes();
        if (want_fids_) features_.push_back(column);
        break;
      }
      case Key(kLineId, Type::kBytes): {
        const std::string_view line_id = c.Bytes();
        if (!line_id_.empty()) line_id_.Merge(line_id, origin_);
        break;
      }
      case Key(kLabel, Type::kBytes): {
        const std::string_view run = c.Bytes();
        if (want_labels_) AddLabels(wire::PackedOf(run, 4, c));
        break;
      }
      case Key(kLabel, Type::kFixed32):
        AddLabels(c.Fixed32());
        break;
      case Key(kInstanceWeight, Type::kFixed32):
        weight_ = LoadFloat(c.Fixed32());
        break;
      default:
        c.Skip(tag);
    }
  }
}

void RecordView::LoadExample(std::string_view payload) {
  using namespace schema::example;
  const bool reserved = want_labels_ || want_weight_ || !line_id_.empty();
  const bool named = reserved || !named_.empty();
  for (std::string_view& r : reserved_) r = {};
  for (Named& n : named_) n.bytes = {};
  Cursor c(payload, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    switch (tag) {
      case Key(kNamedFeature, Type::kBytes): {
        const std::string_view feature = c.Bytes();
        if (want_fids_) features_.push_back(feature);
        if (named) NoteNamed(feature);
        break;
      }
      case Key(kLineId, Type::kBytes): {
        const std::string_view line_id = c.Bytes();
        if (!line_id_.empty()) line_id_.Merge(line_id, origin_);
        break;
      }
      case Key(kLabel, Type::kBytes): {
        const std::string_view run = c.Bytes();
        if (want_labels_) AddLabels(wire::PackedOf(run, 4, c));
        break;
      }
      case Key(kLabel, Type::kFixed32):
        AddLabels(c.Fixed32());
        break;
      case Key(kInstanceWeight, Type::kFixed32):
        weight_ = LoadFloat(c.Fixed32());
        break;
      default:
        c.Skip(tag);
    }
  }
  if (reserved) ApplyReserved();
  if (!(weight_ > 0)) weight_ = 1.0f;  // proto3 cannot tell zero from unset
}

void RecordView::NoteNamed(std::string_view named_feature) {
  using namespace schema::named_feature;
  std::string_view name;
  Cursor c(named_feature, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(kName, Type::kBytes)) {
      name = c.Bytes();
    } else {
      c.Skip(tag);
    }
  }
  for (Named& n : named_)
    if (n.name == name) n.bytes = named_feature;
  if (name.size() < 9 || (name[0] != '_' && name[0] != 'i')) return;
  if (name == schema::kLineIdName) reserved_[0] = named_feature;
  if (name == schema::kLabelName) reserved_[1] = named_feature;
  if (name == schema::kInstanceWeightName) reserved_[2] = named_feature;
}

FeatureValue RecordView::ValueOf(std::string_view named_feature) {
  FeatureValue value;
  ForEachBytesOf(named_feature, schema::named_feature::kFeature, origin_,
                 [&](std::string_view feature) { value.Merge(feature, origin_, &storage_); });
  return value;
}

FeatureValue RecordView::Feature(int place) {
  const std::string_view bytes = named_[static_cast<size_t>(place)].bytes;
  return bytes.data() ? ValueOf(bytes) : FeatureValue{};
}

void RecordView::ApplyReserved() {
  if (reserved_[0].data() && !line_id_.empty()) {
    const FeatureValue value = ValueOf(reserved_[0]);
    std::string_view first;
    if (value.number == schema::feature::kBytesList)
      ForEachBytesOf(value.bytes, schema::kListValue, origin_,
                     [&](std::string_view bytes) { if (!first.data()) first = bytes; });
    if (!first.data()) throw BadRecord("feature __LINE_ID__ has no bytes");
    line_id_.Reset();
    line_id_.Merge(first, origin_);
  }
  const auto floats_of = [&](const FeatureValue& value, auto visit) {
    if (value.number == schema::feature::kFloatList) ForEachFixedRun<4>(value.bytes, schema::kListValue, origin_, visit);
  };
  if (reserved_[1].data() && want_labels_) {
    labels_.clear();
    floats_of(ValueOf(reserved_[1]), [&](std::string_view run) { AddLabels(run); });
  }
  if (reserved_[2].data() && want_weight_) {
    bool found = false;
    weight_ = 1.0f;
    floats_of(ValueOf(reserved_[2]), [&](std::string_view run) {
      if (!found && !run.empty()) weight_ = LoadFloat(run), found = true;
    });
  }
}

// The list of a feature may stand in pieces: the first number of the first piece that has one.
size_t RecordView::FirstLabel() const {
  if (type_ == RecordType::kInstance || !reserved_[1].data()) return static_cast<size_t>(first_label_ - origin_);
  const char* first = nullptr;
  ForEachBytesOf(reserved_[1], schema::named_feature::kFeature, origin_, [&](std::string_view feature) {
    Cursor c(feature, origin_);
    while (!c.done()) {
      const uint32_t tag = c.Tag();
      const uint32_t number = tag >> 3;
      if (tag != FeatureTag(schema::feature::kFloatList)) {
        if (number <= schema::feature::kFidV1Lists && tag == FeatureTag(number)) first = nullptr;
        c.Skip(tag);
        continue;
      }
      ForEachFixedRun<4>(c.Bytes(), schema::kListValue, origin_, [&](std::string_view run) {
        if (!first && !run.empty()) first = run.data();
      });
    }
  });
  return static_cast<size_t>(first - origin_);
}

void RecordView::AddLabels(std::string_view bytes) {
  if (labels_.empty()) first_label_ = bytes.data();
  for (size_t i = 0; i < bytes.size(); i += 4) labels_.push_back(LoadLe<float>(bytes.data() + i));
}

void RecordView::Expand() {
  if (expanded_) return;
  expanded_ = true;
  for (std::string_view feature : features_) {
    type_ == RecordType::kInstance ? ExpandColumn(feature) : ExpandNamedFeature(feature);
  }
}

void RecordView::ExpandColumn(std::string_view column) {
  ForEachFixedRun<8>(column, schema::column::kFid, origin_,
                     [&](std::string_view run) { v2_.push_back({run.data(), run.size() / 8}); });
}

// Runs are pushed as they come; when another member of the oneof follows, those of this feature are taken back.
void RecordView::ExpandNamedFeature(std::string_view named_feature) {
  const size_t v1 = v1_.size(), v2 = v2_.size();
  uint32_t current = 0;
  const auto expand = [&](std::string_view feature) {
    Cursor c(feature, origin_);
    while (!c.done()) {
      const uint32_t tag = c.Tag();
      const uint32_t number = tag >> 3;
      if (number == 0 || number > schema::feature::kFidV1Lists || tag != FeatureTag(number)) {
        c.Skip(tag);
        continue;
      }
      if (number != current) v1_.resize(v1), v2_.resize(v2), current = number;
      if (number > schema::feature::kFidV2List) {
        c.Skip(tag);
        continue;
      }
      std::vector<Fids>& runs = number == schema::feature::kFidV1List ? v1_ : v2_;
      ForEachFixedRun<8>(c.Bytes(), schema::kListValue, origin_,
                         [&](std::string_view run) { runs.push_back({run.data(), run.size() / 8}); });
    }
  };
  ForEachBytesOf(named_feature, schema::named_feature::kFeature, origin_, expand);
}

bool RecordView::HasFid(uint64_t fid) {
  return AnyFids([fid](const Fids& run) { return ScanForFid(run.data, run.n, fid); });
}

bool RecordView::HasSlot(uint32_t slot) {
  if (type_ == RecordType::kExample) Expand();
  for (const Fids& run : v1_)
    if (ScanForSlotV1(run.data, run.n, slot)) return true;
  Expand();
  for (const Fids& run : v2_)
    if (ScanForSlotV2(run.data, run.n, slot)) return true;
  return false;
}

}  // namespace monolith
