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
    case FieldKind::kUint64:
    case FieldKind::kDouble: return Type::kFixed64;
    case FieldKind::kFloat: return Type::kFixed32;
    case FieldKind::kString: return Type::kBytes;
    default: return Type::kVarint;
  }
}

// Writing to memory that is large enough.

size_t VarintSize(uint64_t v) { return static_cast<size_t>(70 - __builtin_clzll(v | 1)) / 7; }
size_t TagSize(uint32_t number) { return VarintSize(uint64_t{number} << 3); }
size_t BytesSize(uint32_t number, size_t n) { return TagSize(number) + VarintSize(n) + n; }

char* PutVarint(char* out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *out++ = static_cast<char>(v | 0x80);
  *out++ = static_cast<char>(v);
  return out;
}
char* PutTag(char* out, uint32_t number, Type type) { return PutVarint(out, uint64_t{number} << 3 | static_cast<uint64_t>(type)); }
char* Put(char* out, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}
char* PutBytes(char* out, uint32_t number, std::string_view bytes) {
  return Put(PutVarint(PutTag(out, number, Type::kBytes), bytes.size()), bytes);
}

}  // namespace

// ---------------------------------------------------------------------------------------------- the changes to a message

void RecordPatch::Edits::Rewind() {
  for (Slot& s : slots) s.first = s.before = nullptr;
  cuts.clear();
  cut_bytes = 0;
  greatest = 0;
}

void RecordPatch::Edits::Add(uint32_t number, int index) {
  slots.push_back({number, index});
  numbers |= uint64_t{1} << (number & 63);
}

// Walks the message. take(slot, tag, cursor) reads each field, `slot` null for one that is not changed; true for what is
// to be taken out.
template <class Take>
void RecordPatch::Edits::Scan(std::string_view message, const char* origin, Take take) {
  Cursor c(message, origin);
  while (!c.done()) {
    const char* begin = c.at();
    const uint32_t tag = c.Tag(), number = tag >> 3;
    if (number > greatest) {
      greatest = number;
      for (Slot& s : slots)
        if (!s.before && number > s.number) s.before = begin;
    }
    Slot* slot = nullptr;
    if (numbers >> (number & 63) & 1)
      for (Slot& s : slots)
        if (s.number == number) slot = &s;
    if (!take(slot, tag, &c)) continue;
    if (slot && !slot->first) slot->first = begin;
    TakeOut(begin, c.at());
  }
}

// Copies the message without what is taken out; write(index, out) writes where a slot goes.
template <class WriteSlot>
char* RecordPatch::Edits::Copy(std::string_view message, char* out, WriteSlot write) {
  const char* from = message.data();
  const char* end = from + message.size();
  if (slots.size() > 1)
    std::sort(slots.begin(), slots.end(), [end](const Slot& a, const Slot& b) {
      return a.At(end) != b.At(end) ? a.At(end) < b.At(end) : a.number < b.number;
    });
  size_t cut = 0;
  const auto copy_to = [&](const char* to) {
    for (; cut < cuts.size() && cuts[cut].begin < to; ++cut) {
      out = Put(out, {from, static_cast<size_t>(cuts[cut].begin - from)});
      from = cuts[cut].end;
    }
    out = Put(out, {from, static_cast<size_t>(to - from)});
    from = to;
  };
  for (const Slot& s : slots) {
    copy_to(s.At(end));
    out = write(s.index, out);
  }
  copy_to(end);
  return out;
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
  if (!changed_[part]) edits_.Add(NumberOf(part), part);
  changed_[part] = true;
}

RecordPatch::LineField* RecordPatch::Line(int place) {
  Change(kLineId);
  LineField* f = &line_[static_cast<size_t>(place)];
  if (!f->set) line_edits_.Add(f->field->number, place);
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

void RecordPatch::SetFloat(int place, double v) {
  LineField* f = Line(place);
  f->bits = Bits(static_cast<float>(v));
  if (f->field->kind == FieldKind::kDouble) std::memcpy(&f->bits, &v, sizeof v);
}

void RecordPatch::SetList(int place, const std::vector<int32_t>& values) { AppendVarints(values, &Line(place)->added); }

void RecordPatch::AppendToList(int place, const std::vector<int32_t>& values) {
  LineField* f = Line(place);
  f->append = true;
  AppendVarints(values, &f->added);
}

// --------------------------------------------------------------------------------------------------------- the record

std::string_view RecordPatch::Apply() {
  if (edits_.slots.empty() && !drop_) return payload_;
  line_ids_.clear();
  line_id_feature_ = {};
  const bool features =
      type_ == RecordType::kExample && (drop_ || changed_[kLabels] || changed_[kWeight] || changed_[kLineId]);
  edits_.Scan(payload_, payload_.data(), [&](Slot* slot, uint32_t tag, Cursor* c) {
    if (slot && TakePart(static_cast<Part>(slot->index), tag, c)) return true;
    if (features && tag == wire::Key(schema::example::kNamedFeature, Type::kBytes)) return Drops(c->Bytes());
    c->Skip(tag);
    return false;
  });
  if (edits_.slots.empty() && edits_.cuts.empty()) return payload_;
  if (changed_[kLineId]) FindLineId();
  char* out = Reserve();
  out = edits_.Copy(payload_, out, [this](int part, char* to) { return WritePart(static_cast<Part>(part), to); });
  return {out_.get(), static_cast<size_t>(out - out_.get())};
}

void RecordPatch::Write(const Record& record, RecordSink* next) {
  const std::string_view patched = Apply();
  if (patched.data() == record.payload.data()) return next->Write(record);
  Record changed = record;
  changed.payload = patched;
  changed.framed = false;
  next->Write(changed);
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

// Memory for the largest record that can come out.
char* RecordPatch::Reserve() {
  constexpr size_t kTagsAndNumbers = 64;
  const size_t most = payload_.size() + labels_.size() * changed_[kLabels] + fids_.size() * changed_[kFids] +
                      line_id_size_ * changed_[kLineId] + kTagsAndNumbers;
  if (most > capacity_) {
    capacity_ = most + most / 2;
    out_.reset(new char[capacity_]);
  }
  return out_.get();
}

char* RecordPatch::WritePart(Part part, char* out) {
  const uint32_t number = NumberOf(part);
  switch (part) {
    case kFids: return fids_.empty() ? out : PutBytes(out, number, fids_);
    case kLabels: return labels_.empty() ? out : PutBytes(out, number, labels_);
    case kWeight: {
      const uint32_t bits = Bits(weight_);
      if (type_ == RecordType::kExample && bits == 0) return out;
      out = PutTag(out, number, Type::kFixed32);
      StoreLe(out, bits);
      return out + 4;
    }
    default:
      out = PutVarint(PutTag(out, number, Type::kBytes), line_id_size_);
      return line_edits_.Copy(line_id_, out,
                              [this](int place, char* to) { return line_[static_cast<size_t>(place)].Write(to); });
  }
}

// --------------------------------------------------------------------------------------------------------- its LineId

void RecordPatch::FindLineId() {
  const char* origin = payload_.data();
  if (line_id_feature_.data()) {
    line_id_ = LineIdOfFeature();
  } else if (line_ids_.size() == 1) {
    line_id_ = line_ids_[0];
  } else {
    joined_.clear();
    for (std::string_view piece : line_ids_) {
      ScanLineId(piece, origin);  // each must be whole by itself
      joined_.append(piece);
    }
    line_id_ = joined_;
    origin = joined_.data();
  }
  ScanLineId(line_id_, origin);
  line_id_size_ = line_id_.size() - line_edits_.cut_bytes;
  for (const Slot& s : line_edits_.slots) line_id_size_ += line_[static_cast<size_t>(s.index)].Size();
}

void RecordPatch::ScanLineId(std::string_view message, const char* origin) {
  line_edits_.Rewind();
  for (const Slot& s : line_edits_.slots) line_[static_cast<size_t>(s.index)].old.clear();
  line_edits_.Scan(message, origin, [this](Slot* slot, uint32_t tag, Cursor* c) {
    if (slot && TakeLine(&line_[static_cast<size_t>(slot->index)], tag, c)) return true;
    c->Skip(tag);
    return false;
  });
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

size_t RecordPatch::LineField::Size() const {
  const uint32_t number = field->number;
  if (field->repeated) {
    const size_t n = old.size() + added.size();
    return n ? BytesSize(number, n) : 0;
  }
  switch (OwnType(field->kind)) {
    case Type::kFixed64: return TagSize(number) + 8;
    case Type::kFixed32: return TagSize(number) + 4;
    case Type::kBytes: return BytesSize(number, text.size());
    default: return TagSize(number) + VarintSize(bits);
  }
}

char* RecordPatch::LineField::Write(char* out) const {
  const uint32_t number = field->number;
  if (field->repeated) {
    const size_t n = old.size() + added.size();
    return n ? Put(Put(PutVarint(PutTag(out, number, Type::kBytes), n), old), added) : out;
  }
  const Type type = OwnType(field->kind);
  if (type == Type::kBytes) return PutBytes(out, number, text);
  out = PutTag(out, number, type);
  if (type == Type::kVarint) return PutVarint(out, bits);
  if (type == Type::kFixed64) return StoreLe(out, bits), out + 8;
  return StoreLe(out, static_cast<uint32_t>(bits)), out + 4;
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
