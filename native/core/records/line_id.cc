#include "core/records/line_id.h"

#include <algorithm>

#include "core/wire/cursor.h"

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
  uint8_t& place = place_of_[field.number];
  if (place == kNone) {
    place = static_cast<uint8_t>(fields_.size());
    fields_.push_back(&field);
    if (field.repeated) repeated_.push_back(place);
    if (field.kind == FieldKind::kString) strings_.push_back(place);
    defaults_[place] = DefaultBits(field);
    Reset();
  }
  return place;
}

void LineIdReader::Merge(std::string_view message, const char* origin) {
  wire::Cursor c(message, origin);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    const uint32_t number = tag >> 3;
    const uint8_t place = number < kLineIdNumbers ? place_of_[number] : kNone;
    if (place == kNone) {
      c.Skip(tag);
      continue;
    }
    const LineIdField& field = *fields_[place];
    switch (static_cast<Type>(tag & 7)) {
      case Type::kVarint: {
        const uint64_t v = Narrow(c.Varint(), field.kind);
        if (!IsVarint(field.kind)) break;
        if (field.repeated) {
          lists_[place].push_back(static_cast<int64_t>(v));
        } else {
          bits_[place] = v;
        }
        break;
      }
      case Type::kFixed64: {
        const uint64_t v = LoadLe<uint64_t>(c.Fixed64().data());
        if (field.kind != FieldKind::kUint64 && field.kind != FieldKind::kDouble) break;
        if (field.repeated) {
          lists_[place].push_back(static_cast<int64_t>(v));
        } else {
          bits_[place] = v;
        }
        break;
      }
      case Type::kFixed32: {
        const uint32_t v = LoadLe<uint32_t>(c.Fixed32().data());
        if (!field.repeated && field.kind == FieldKind::kFloat) bits_[place] = v;
        break;
      }
      case Type::kBytes: {
        const std::string_view bytes = c.Bytes();
        if (field.repeated && IsVarint(field.kind)) {
          wire::Cursor packed(bytes, origin);
          while (!packed.done()) lists_[place].push_back(static_cast<int64_t>(Narrow(packed.Varint(), field.kind)));
        } else if (field.repeated && field.kind == FieldKind::kUint64) {
          const std::string_view run = wire::PackedOf(bytes, 8, c);
          for (size_t i = 0; i < run.size(); i += 8) lists_[place].push_back(LoadLe<int64_t>(run.data() + i));
        } else if (!field.repeated && field.kind == FieldKind::kString) {
          texts_[place] = bytes;
        }
        break;
      }
      default: c.Skip(tag);
    }
  }
}

}  // namespace monolith
