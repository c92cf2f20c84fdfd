#include "core/records/line_id.h"

#include <algorithm>

#include "core/wire/cursor.h"

namespace monolith {
namespace {

using wire::Type;

uint64_t FloatBits(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  return bits;
}

// An int32 is written as a varint of its 64-bit sign extension; readers take the low half, whatever stands above it.
uint64_t Narrow(uint64_t v, FieldKind kind) {
  if (kind == FieldKind::kInt32) return static_cast<uint64_t>(int64_t{static_cast<int32_t>(v)});
  return kind == FieldKind::kBool ? v != 0 : v;
}

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
  if (slot_of_[field.number] == kNone) {
    slot_of_[field.number] = static_cast<uint8_t>(values_.size());
    values_.push_back({&field, 0, {}, {}});
    Reset();
  }
  return slot_of_[field.number];
}

void LineIdReader::Reset() {
  for (Value& value : values_) {
    value.bits = value.field->kind == FieldKind::kFloat ? FloatBits(value.field->default_float) : 0;
    value.text = {};
    value.list.clear();
  }
}

float LineIdReader::Float(int slot) const {
  const uint32_t bits = static_cast<uint32_t>(values_[slot].bits);
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}

void LineIdReader::Merge(std::string_view message, const char* origin) {
  wire::Cursor c(message, origin);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    const uint32_t number = tag >> 3;
    if (number >= kLineIdNumbers || slot_of_[number] == kNone) {
      c.Skip(tag);
      continue;
    }
    Value& value = values_[slot_of_[number]];
    const FieldKind kind = value.field->kind;
    const Type type = static_cast<Type>(tag & 7);
    if (value.field->repeated) {
      if (type == Type::kVarint) {
        value.list.push_back(static_cast<int64_t>(Narrow(c.Varint(), kind)));
      } else if (type == Type::kBytes) {
        wire::Cursor packed(c.Bytes(), origin);
        while (!packed.done()) value.list.push_back(static_cast<int64_t>(Narrow(packed.Varint(), kind)));
      } else {
        c.Skip(tag);
      }
      continue;
    }
    switch (kind) {
      case FieldKind::kInt32:
      case FieldKind::kInt64:
      case FieldKind::kBool:
        if (type == Type::kVarint) value.bits = Narrow(c.Varint(), kind);
        else c.Skip(tag);
        break;
      case FieldKind::kUint64:
        if (type == Type::kFixed64) value.bits = LoadLe<uint64_t>(c.Fixed64().data());
        else c.Skip(tag);
        break;
      case FieldKind::kFloat:
        if (type == Type::kFixed32) value.bits = LoadLe<uint32_t>(c.Fixed32().data());
        else c.Skip(tag);
        break;
      case FieldKind::kString:
        if (type == Type::kBytes) value.text = c.Bytes();
        else c.Skip(tag);
        break;
    }
  }
}

}  // namespace monolith
