// The oneof of monolith.io.proto.Feature read off the wire as protobuf resolves it: the last member wins, several
// occurrences of the same list merge. And the elements of its lists, packed or not.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "core/wire/cursor.h"
#include "core/wire/schema.h"

namespace monolith {

// The tag of member `number` (1..16) of the oneof.
inline uint32_t FeatureTag(uint32_t number) {
  using wire::Type;
  switch (number) {
    case schema::feature::kInt64Value: return wire::Key(number, Type::kVarint);
    case schema::feature::kFloatValue: return wire::Key(number, Type::kFixed32);
    case schema::feature::kDoubleValue: return wire::Key(number, Type::kFixed64);
    default: return wire::Key(number, Type::kBytes);
  }
}

struct FeatureValue {
  uint32_t number = 0;     // which member is set, 0 for none
  std::string_view bytes;  // content of a list member or of bytes_value; single numbers are not kept

  // Takes over one occurrence of a Feature message. Lists that stand in pieces are joined in `storage`.
  void Merge(std::string_view feature, const char* origin, std::deque<std::string>* storage) {
    wire::Cursor c(feature, origin);
    while (!c.done()) {
      const uint32_t tag = c.Tag();
      const uint32_t n = tag >> 3;
      if (n == 0 || n > schema::feature::kFidV1Lists || tag != FeatureTag(n)) {
        c.Skip(tag);
      } else if ((tag & 7) == 2) {
        const std::string_view piece = c.Bytes();
        if (number == n && n != schema::feature::kBytesValue && !bytes.empty()) {
          storage->emplace_back(bytes).append(piece);
          bytes = storage->back();
        } else {
          bytes = piece;
        }
        number = n;
      } else {
        c.Skip(tag);
        number = n;
        bytes = {};
      }
    }
  }
};

// Calls visit(bytes) with runs of fixed-width elements of field `number`, as they stand in the message.
template <size_t width, class Visit>
inline void ForEachFixedRun(std::string_view message, uint32_t number, const char* origin, Visit visit) {
  static_assert(width == 4 || width == 8);
  wire::Cursor c(message, origin);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == wire::Key(number, wire::Type::kBytes)) {
      visit(wire::PackedOf(c.Bytes(), width, c));
    } else if (width == 8 && tag == wire::Key(number, wire::Type::kFixed64)) {
      visit(c.Fixed64());
    } else if (width == 4 && tag == wire::Key(number, wire::Type::kFixed32)) {
      visit(c.Fixed32());
    } else {
      c.Skip(tag);
    }
  }
}

// Calls visit(uint64_t) with the varints of field `number`.
template <class Visit>
inline void ForEachVarintOf(std::string_view message, uint32_t number, const char* origin, Visit visit) {
  wire::Cursor c(message, origin);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == wire::Key(number, wire::Type::kBytes)) {
      wire::Cursor packed(c.Bytes(), origin);
      while (!packed.done()) visit(packed.Varint());
    } else if (tag == wire::Key(number, wire::Type::kVarint)) {
      visit(c.Varint());
    } else {
      c.Skip(tag);
    }
  }
}

// Calls visit(std::string_view) with the occurrences of the bytes (or message) field `number`.
template <class Visit>
inline void ForEachBytesOf(std::string_view message, uint32_t number, const char* origin, Visit visit) {
  wire::Cursor c(message, origin);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == wire::Key(number, wire::Type::kBytes)) {
      visit(c.Bytes());
    } else {
      c.Skip(tag);
    }
  }
}

}  // namespace monolith
