#include "core/records/line_id.h"

#include <algorithm>

namespace monolith {
namespace {

using wire::Type;

uint64_t DefaultBits(const LineIdField& field) {
  uint64_t bits = 0;
  const auto single = static_cast<float>(field.default_value);
  switch (field.kind) {
    case FieldKind::kFloat: std::memcpy(&bits, &single, sizeof single); return bits;
    case FieldKind::kDouble: std::memcpy(&bits, &field.default_value, sizeof bits); return bits;
    default: return static_cast<uint64_t>(static_cast<int64_t>(field.default_value));
  }
}

// An int32 is written as a varint of its 64-bit sign extension; readers take the low half, whatever stands above it.
uint64_t Narrow(uint64_t v, FieldKind kind) {
  if (kind == FieldKind::kInt32) return static_cast<uint64_t>(int64_t{static_cast<int32_t>(v)});
  if (kind == FieldKind::kUint32) return static_cast<uint32_t>(v);
  return kind == FieldKind::kBool ? v != 0 : v;
}

bool IsVarint(FieldKind kind) { return kind <= FieldKind::kVarUint64 || kind == FieldKind::kBool; }

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

}  // namespace

const LineIdField* FindLineIdField(std::string_view name) {
  for (const LineIdField& field : kLineIdFields)
    if (field.name == name) return &field;
  return nullptr;
}

std::string_view NearestName(std::string_view name, const std::vector<std::string_view>& choices) {
  std::string_view best;
  size_t best_distance = 1 + std::max<size_t>(1, name.size() / 3);
  if (name.size() > 64) return best;
  for (std::string_view choice : choices) {
    const size_t distance = EditDistance(name, choice);
    if (distance < best_distance) best = choice, best_distance = distance;
  }
  return best;
}

int LineIdReader::Want(const LineIdField& field) {
  const auto known = std::find(fields_.begin(), fields_.end(), &field);
  if (known != fields_.end()) return static_cast<int>(known - fields_.begin());
  const auto place = static_cast<uint8_t>(fields_.size());
  fields_.push_back(&field);
  if (field.repeated) repeated_.push_back(place);
  if (field.kind == FieldKind::kString) strings_.push_back(place);
  defaults_[place] = DefaultBits(field);
  for (uint32_t tag = static_cast<uint32_t>(actions_.size()); tag < (field.number + 1) * 8; ++tag)
    actions_.push_back({SkipOf(tag), 0});
  for (uint32_t tag = field.number * 8; tag < (field.number + 1) * 8; ++tag) actions_[tag] = {StepOf(field, tag), place};
  layouts_.assign(kMostRemembered + 1, {});
  Reset();
  return place;
}

LineIdStep LineIdReader::SkipOf(uint32_t tag) {
  switch (static_cast<Type>(tag & 7)) {
    case Type::kVarint: return LineIdStep::kSkipVarint;
    case Type::kFixed64: return LineIdStep::kSkipFixed64;
    case Type::kBytes: return LineIdStep::kSkipBytes;
    case Type::kFixed32: return LineIdStep::kSkipFixed32;
    default: return LineIdStep::kSkipRare;
  }
}

LineIdStep LineIdReader::StepOf(const LineIdField& field, uint32_t tag) {
  const LineIdStep skip = SkipOf(tag);
  if (field.repeated) {
    const LineIdStep own = field.kind == FieldKind::kUint64 ? LineIdStep::kSkipFixed64 : LineIdStep::kSkipVarint;
    const bool listed = IsVarint(field.kind) || field.kind == FieldKind::kUint64;
    return listed && (skip == own || skip == LineIdStep::kSkipBytes) ? LineIdStep::kOther : skip;
  }
  switch (field.kind) {
    case FieldKind::kInt64: case FieldKind::kVarUint64: return skip == LineIdStep::kSkipVarint ? LineIdStep::kVarint : skip;
    case FieldKind::kInt32: return skip == LineIdStep::kSkipVarint ? LineIdStep::kInt32 : skip;
    case FieldKind::kUint32: case FieldKind::kBool: return skip == LineIdStep::kSkipVarint ? LineIdStep::kOther : skip;
    case FieldKind::kUint64: case FieldKind::kDouble: return skip == LineIdStep::kSkipFixed64 ? LineIdStep::kFixed64 : skip;
    case FieldKind::kFloat: return skip == LineIdStep::kSkipFixed32 ? LineIdStep::kFixed32 : skip;
    case FieldKind::kString: return skip == LineIdStep::kSkipBytes ? LineIdStep::kText : skip;
  }
  return skip;
}

void LineIdReader::Merge(std::string_view message, const char* origin) {
  if (message.size() < wire::Layout::kLeast || message.size() > kMostRemembered) return Walk(message, origin);
  Remembered& known = layouts_[message.size()];
  if (known.layout.Fits(message)) return TakeAt(known.takes, message.data(), origin);
  Walk(message, origin);
  if (!known.layout.Miss()) return;
  wire::DecisiveBytes decisive(message);
  known.takes.clear();
  if (Describe(message, &decisive, &known.takes)) known.layout.Remember(decisive);
}

bool LineIdReader::Describe(std::string_view line_id, wire::DecisiveBytes* decisive, std::vector<LineIdTake>* takes) const {
  const size_t last_word = decisive->message().size() - 8;
  wire::Reader reader(line_id);
  wire::Field field;
  while (reader.Next(&field)) {
    size_t at = 0;
    if (!decisive->Add(field, &at)) return false;
    const uint32_t tag = field.number << 3 | static_cast<uint32_t>(field.type);
    if (tag >= actions_.size() || actions_[tag].step < LineIdStep::kVarint) continue;
    LineIdTake take = {actions_[tag], 0, tag};
    if (take.action.step == LineIdStep::kText) {
      take.at = static_cast<uint32_t>(decisive->PlaceOf(field.bytes.data()));
      take.size = static_cast<uint32_t>(field.bytes.size());
    } else if (take.action.step == LineIdStep::kOther) {
      take.at = static_cast<uint32_t>(at);
      take.size = static_cast<uint32_t>(decisive->PlaceOf(field.end) - at);
    } else {
      take.at = static_cast<uint32_t>(std::min(at, last_word));
      take.shift = static_cast<uint8_t>(8 * (at - take.at));
      if (field.type == Type::kVarint) take.bits = 0x7f7f7f7f7f7f7f7fu >> (64 - 8 * (decisive->PlaceOf(field.end) - at));
    }
    takes->push_back(take);
  }
  return true;
}

void LineIdReader::TakeRare(const LineIdTake& take, const char* p, const char* origin) {
  uint64_t& bits = bits_[take.action.place];
  switch (take.action.step) {
    case LineIdStep::kInt32:
      bits = Narrow(wire::VarintOf(LoadLe<uint64_t>(p) >> take.shift, take.bits), FieldKind::kInt32);
      return;
    case LineIdStep::kFixed32: bits = static_cast<uint32_t>(LoadLe<uint64_t>(p) >> take.shift); return;
    default: TakeOther(wire::Cursor({p, take.size}, origin), take.tag, take.action.place, origin);
  }
}

void LineIdReader::Walk(std::string_view message, const char* origin) {
  wire::Cursor c(message, origin);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    const LineIdAction action = tag < actions_.size() ? actions_[tag] : LineIdAction{SkipOf(tag), 0};
    switch (action.step) {
      case LineIdStep::kSkipVarint: c.Varint(); break;
      case LineIdStep::kSkipFixed64: c.Fixed64(); break;
      case LineIdStep::kSkipBytes: c.Bytes(); break;
      case LineIdStep::kSkipFixed32: c.Fixed32(); break;
      case LineIdStep::kSkipRare: c.Skip(tag); break;
      case LineIdStep::kVarint: bits_[action.place] = c.Varint(); break;
      case LineIdStep::kInt32: bits_[action.place] = Narrow(c.Varint(), FieldKind::kInt32); break;
      case LineIdStep::kFixed64: bits_[action.place] = LoadLe<uint64_t>(c.Fixed64().data()); break;
      case LineIdStep::kFixed32: bits_[action.place] = LoadLe<uint32_t>(c.Fixed32().data()); break;
      case LineIdStep::kText: texts_[action.place] = c.Bytes(); break;
      case LineIdStep::kOther: c = TakeOther(c, tag, action.place, origin); break;
    }
  }
}

// Lists, and numbers that are cut to fewer bits; the cursor comes and goes by value so that Walk keeps its own in registers.
wire::Cursor LineIdReader::TakeOther(wire::Cursor c, uint32_t tag, uint8_t place, const char* origin) {
  const FieldKind kind = fields_[place]->kind;
  std::vector<int64_t>& list = lists_[place];
  switch (static_cast<Type>(tag & 7)) {
    case Type::kVarint: {
      const uint64_t v = Narrow(c.Varint(), kind);
      fields_[place]->repeated ? list.push_back(static_cast<int64_t>(v)) : void(bits_[place] = v);
      return c;
    }
    case Type::kFixed64: list.push_back(LoadLe<int64_t>(c.Fixed64().data())); return c;
    default: break;
  }
  const std::string_view bytes = c.Bytes();
  if (kind == FieldKind::kUint64) {
    const std::string_view run = wire::PackedOf(bytes, 8, c);
    for (size_t i = 0; i < run.size(); i += 8) list.push_back(LoadLe<int64_t>(run.data() + i));
    return c;
  }
  wire::Cursor packed(bytes, origin);
  while (!packed.done()) list.push_back(static_cast<int64_t>(Narrow(packed.Varint(), kind)));
  return c;
}

}  // namespace monolith
