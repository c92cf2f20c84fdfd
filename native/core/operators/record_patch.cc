#include "core/operators/record_patch.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/records/feature_value.h"

namespace monolith {

using wire::Cursor;
using wire::Type;

namespace {

template <class T>
std::string_view BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

uint32_t Bits(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}

void AppendVarints(const std::vector<int32_t>& values, std::string* out) {
  wire::Writer w(out);
  for (int32_t v : values) w.RawVarint(static_cast<uint64_t>(int64_t{v}));
}

// The wire type of a LineId field that is no list.
Type OwnType(FieldKind kind) {
  switch (kind) {
    case FieldKind::kUint64: return Type::kFixed64;
    case FieldKind::kFloat: return Type::kFixed32;
    case FieldKind::kString: return Type::kBytes;
    default: return Type::kVarint;
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------- the changes to a message

void RecordPatch::Edits::Rewind() {
  for (Slot& s : slots) s.first = s.before = nullptr;
  cuts.clear();
  greatest = 0;
}

// A field begins; its slot when it is one that is changed.
RecordPatch::Slot* RecordPatch::Edits::Pass(uint32_t number, const char* at) {
  Slot* found = nullptr;
  const bool greater = number > greatest;
  for (Slot& s : slots) {
    if (greater && !s.before && number > s.number) s.before = at;
    if (s.number == number) found = &s;
  }
  if (greater) greatest = number;
  return found;
}

void RecordPatch::Edits::Replace(Slot* slot, const char* begin, const char* end) {
  if (!slot->first) slot->first = begin;
  cuts.push_back({begin, end});
}

template <class WriteSlot>
void RecordPatch::Edits::Copy(std::string_view message, std::string* out, WriteSlot write) {
  const char* from = message.data();
  const char* end = from + message.size();
  std::sort(slots.begin(), slots.end(), [end](const Slot& a, const Slot& b) {
    return a.At(end) != b.At(end) ? a.At(end) < b.At(end) : a.number < b.number;
  });
  size_t cut = 0;
  const auto copy_to = [&](const char* to) {
    for (; cut < cuts.size() && cuts[cut].begin < to; ++cut) {
      out->append(from, static_cast<size_t>(cuts[cut].begin - from));
      from = cuts[cut].end;
    }
    out->append(from, static_cast<size_t>(to - from));
    from = to;
  };
  for (const Slot& s : slots) {
    copy_to(s.At(end));
    write(s.index);
  }
  copy_to(end);
}

// ------------------------------------------------------------------------------------------------------- what to change

int RecordPatch::Want(const LineIdField& field) {
  for (size_t i = 0; i < line_.size(); ++i)
    if (line_[i].field == &field) return static_cast<int>(i);
  line_.push_back({});
  line_.back().field = &field;
  return static_cast<int>(line_.size() - 1);
}

void RecordPatch::Load(std::string_view payload) {
  payload_ = payload;
  std::fill(std::begin(changed_), std::end(changed_), false);
  for (LineField& f : line_) f.set = false;
  edits_.Clear();
  line_edits_.Clear();
}

uint32_t RecordPatch::NumberOf(Part part) const {
  static constexpr uint32_t instance[] = {schema::instance::kFid, schema::instance::kLabel,
                                          schema::instance::kInstanceWeight, schema::instance::kLineId};
  static constexpr uint32_t example[] = {0, schema::example::kLabel, schema::example::kInstanceWeight,
                                         schema::example::kLineId};
  return type_ == RecordType::kInstance ? instance[part] : example[part];
}

void RecordPatch::Change(Part part) {
  if (!changed_[part]) edits_.slots.push_back({NumberOf(part), part});
  changed_[part] = true;
}

RecordPatch::LineField* RecordPatch::Line(int place) {
  Change(kLineId);
  LineField* f = &line_[static_cast<size_t>(place)];
  if (!f->set) line_edits_.slots.push_back({f->field->number, place});
  f->set = true;
  f->append = false;
  f->old.clear();
  f->added.clear();
  return f;
}

void RecordPatch::SetLabels(const std::vector<float>& labels) {
  Change(kLabels);
  labels_ = BytesOf(labels);
}

void RecordPatch::SetLabel(const std::vector<float>& labels, size_t i, float v) {
  own_labels_ = labels;
  own_labels_[i] = v;
  SetLabels(own_labels_);
}

void RecordPatch::SetWeight(float v) {
  Change(kWeight);
  weight_ = v;
}

void RecordPatch::SetFids(std::string_view packed) {
  Change(kFids);
  fids_ = packed;
}

void RecordPatch::SetFloat(int place, float v) { Line(place)->bits = Bits(v); }

void RecordPatch::SetList(int place, const std::vector<int32_t>& values) { AppendVarints(values, &Line(place)->added); }

void RecordPatch::AppendToList(int place, const std::vector<int32_t>& values) {
  LineField* f = Line(place);
  f->append = true;
  AppendVarints(values, &f->added);
}

// --------------------------------------------------------------------------------------------------------- the record

std::string_view RecordPatch::Apply() {
  if (edits_.slots.empty() && !drop_) return payload_;
  Scan();
  if (edits_.slots.empty() && edits_.cuts.empty()) return payload_;
  if (changed_[kLineId]) PatchLineId();
  out_.clear();
  edits_.Copy(payload_, &out_, [this](int part) { WritePart(static_cast<Part>(part)); });
  return out_;
}

void RecordPatch::Write(const Record& record, RecordSink* next) {
  const std::string_view patched = Apply();
  if (patched.data() == record.payload.data()) return next->Write(record);
  Record changed = record;
  changed.payload = patched;
  changed.framed = false;
  next->Write(changed);
}

void RecordPatch::Scan() {
  line_ids_.clear();
  line_id_feature_ = {};
  const bool features = type_ == RecordType::kExample && (drop_ || changed_[kLabels] || changed_[kWeight] || changed_[kLineId]);
  Cursor c(payload_);
  while (!c.done()) {
    const char* begin = c.at();
    const uint32_t tag = c.Tag();
    Slot* slot = edits_.Pass(tag >> 3, begin);
    if (slot && TakePart(static_cast<Part>(slot->index), tag, &c)) {
      edits_.Replace(slot, begin, c.at());
    } else if (features && tag == wire::Key(schema::example::kNamedFeature, Type::kBytes)) {
      if (Drops(c.Bytes())) edits_.cuts.push_back({begin, c.at()});
    } else {
      c.Skip(tag);
    }
  }
}

// Reads one occurrence of what will be replaced; false, and nothing read, when its wire type is not its own.
bool RecordPatch::TakePart(Part part, uint32_t tag, Cursor* c) {
  const Type type = static_cast<Type>(tag & 7);
  switch (part) {
    case kWeight:
      if (type != Type::kFixed32) return false;
      c->Fixed32();
      return true;
    case kLineId:
      if (type != Type::kBytes) return false;
      line_ids_.push_back(c->Bytes());
      return true;
    default:
      if (type == Type::kBytes) {
        wire::PackedOf(c->Bytes(), part == kFids ? 8 : 4, *c);
        return true;
      }
      if (type != (part == kFids ? Type::kFixed64 : Type::kFixed32)) return false;
      c->Skip(tag);
      return true;
  }
}

bool RecordPatch::Drops(std::string_view named_feature) {
  std::string_view name;
  ForEachBytesOf(named_feature, schema::named_feature::kName, payload_.data(), [&](std::string_view v) { name = v; });
  if (changed_[kLabels] && name == schema::kLabelName) return true;
  if (changed_[kWeight] && name == schema::kInstanceWeightName) return true;
  if (changed_[kLineId] && name == schema::kLineIdName) {
    line_id_feature_ = named_feature;
    return true;
  }
  return drop_ && drop_(name);
}

void RecordPatch::WritePart(Part part) {
  wire::Writer w(&out_);
  const uint32_t number = NumberOf(part);
  switch (part) {
    case kFids:
      if (!fids_.empty()) w.Bytes(number, fids_);
      return;
    case kLabels:
      if (!labels_.empty()) w.Bytes(number, labels_);
      return;
    case kWeight:
      if (type_ == RecordType::kInstance || Bits(weight_) != 0) w.Float(number, weight_);
      return;
    default: w.Bytes(number, line_id_);
  }
}

// --------------------------------------------------------------------------------------------------------- its LineId

void RecordPatch::PatchLineId() {
  std::string_view before;
  if (line_id_feature_.data()) {
    before = LineIdOfFeature();
  } else if (line_ids_.size() == 1) {
    before = line_ids_[0];
  } else {
    joined_.clear();
    for (std::string_view piece : line_ids_) {
      ScanLineId(piece, payload_.data());  // each must be whole by itself
      joined_.append(piece);
    }
    before = joined_;
  }
  ScanLineId(before, before.data() == joined_.data() ? before.data() : payload_.data());
  line_id_.clear();
  line_edits_.Copy(before, &line_id_, [this](int place) { WriteLine(line_[static_cast<size_t>(place)]); });
}

void RecordPatch::ScanLineId(std::string_view message, const char* origin) {
  line_edits_.Rewind();
  for (const Slot& s : line_edits_.slots) line_[static_cast<size_t>(s.index)].old.clear();
  Cursor c(message, origin);
  while (!c.done()) {
    const char* begin = c.at();
    const uint32_t tag = c.Tag();
    Slot* slot = line_edits_.Pass(tag >> 3, begin);
    if (slot && TakeLine(&line_[static_cast<size_t>(slot->index)], tag, &c)) {
      line_edits_.Replace(slot, begin, c.at());
    } else {
      c.Skip(tag);
    }
  }
}

bool RecordPatch::TakeLine(LineField* f, uint32_t tag, Cursor* c) {
  const Type type = static_cast<Type>(tag & 7);
  if (!f->field->repeated) {
    if (type != OwnType(f->field->kind)) return false;
    c->Skip(tag);
    return true;
  }
  const char* begin = c->at();
  if (type == Type::kVarint) {
    c->Varint();
    if (f->append) f->old.append(begin, static_cast<size_t>(c->at() - begin));
    return true;
  }
  if (type != Type::kBytes) return false;
  const std::string_view elements = c->Bytes();
  Cursor each(elements, payload_.data());
  while (!each.done()) each.Varint();
  if (f->append) f->old.append(elements);
  return true;
}

void RecordPatch::WriteLine(const LineField& f) {
  wire::Writer w(&line_id_);
  const uint32_t number = f.field->number;
  if (f.field->repeated) {
    if (f.old.empty() && f.added.empty()) return;
    w.Tag(number, Type::kBytes);
    w.RawVarint(f.old.size() + f.added.size());
    w.Raw(f.old);
    w.Raw(f.added);
    return;
  }
  switch (OwnType(f.field->kind)) {
    case Type::kFixed64: w.Fixed64(number, f.bits); return;
    case Type::kFixed32: w.Fixed32(number, static_cast<uint32_t>(f.bits)); return;
    case Type::kBytes: w.Bytes(number, f.text); return;
    default: w.Varint(number, f.bits);
  }
}

std::string_view RecordPatch::LineIdOfFeature() {
  storage_.clear();
  const char* origin = payload_.data();
  FeatureValue value;
  ForEachBytesOf(line_id_feature_, schema::named_feature::kFeature, origin,
                 [&](std::string_view feature) { value.Merge(feature, origin, &storage_); });
  std::string_view first;
  if (value.number == schema::feature::kBytesList)
    ForEachBytesOf(value.bytes, schema::kListValue, origin, [&](std::string_view v) { if (!first.data()) first = v; });
  if (!first.data()) throw BadRecord("feature __LINE_ID__ has no bytes");
  return first;
}

}  // namespace monolith
