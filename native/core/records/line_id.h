// Fields of LineId, as a table, and a reader of the ones somebody wants.
//
// Code that works on a field by name looks it up here and goes by its kind. The table is made from line_id.proto when the
// core is built: a deployment with a wider LineId adds its fields there, and nothing else has to know them.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace monolith {

// As they stand on the wire: kUint64 is fixed64, kFloat fixed32, kDouble fixed64, kString bytes; the others are varints.
enum class FieldKind : uint8_t { kInt32, kInt64, kUint32, kVarUint64, kUint64, kFloat, kDouble, kString, kBool };

struct LineIdField {
  std::string_view name;
  uint32_t number;
  FieldKind kind;
  bool repeated = false;
  bool packed = false;       // how a repeated field is written; both ways are read
  double default_value = 0;  // of a number; a string reads "" when unset
};

// kLineIdFields, an array of all of them, and kLineIdNumbers, which is above every number.
#include "core/records/line_id_fields.inc"

// nullptr when there is no such field.
const LineIdField* FindLineIdField(std::string_view name);

// The entry of `choices` that looks most like `name`; "" when none comes near.
std::string_view NearestName(std::string_view name, const std::vector<std::string_view>& choices);

// Values of some fields of one LineId. Singular fields: the last occurrence wins; a LineId that stands in a record
// several times is merged, as protobuf does. A field that comes with another wire type than its own is unknown.
class LineIdReader {
 public:
  LineIdReader() { place_of_.fill(kNone); }

  // Asks for a field; returns the place of its value. Asking again gives the same place.
  int Want(const LineIdField& field);
  bool empty() const { return fields_.empty(); }

  // Sets all values to their defaults.
  void Reset() {
    std::memcpy(bits_.data(), defaults_.data(), fields_.size() * sizeof bits_[0]);
    for (uint8_t place : strings_) texts_[place] = {};
    for (uint8_t place : repeated_) lists_[place].clear();
  }
  // Takes over what one occurrence of the message holds. Strings stay views into it. Throws BadRecord; positions count
  // from `origin`.
  void Merge(std::string_view message, const char* origin);

  int64_t Int(int place) const { return static_cast<int64_t>(bits_[place]); }
  uint64_t Uint(int place) const { return bits_[place]; }
  float Float(int place) const { return LoadLe<float>(&bits_[place]); }
  double Double(int place) const { return LoadLe<double>(&bits_[place]); }
  std::string_view String(int place) const { return texts_[place]; }
  // Of a repeated field of integers.
  const std::vector<int64_t>& List(int place) const { return lists_[place]; }

 private:
  static constexpr size_t kMost = std::size(kLineIdFields);
  static constexpr uint8_t kNone = 255;
  static_assert(kMost < kNone);

  std::vector<const LineIdField*> fields_;
  std::vector<uint8_t> strings_, repeated_;  // places of these kinds
  std::array<uint64_t, kMost> bits_{}, defaults_{};
  std::array<std::string_view, kMost> texts_;
  std::array<std::vector<int64_t>, kMost> lists_;
  std::array<uint8_t, kLineIdNumbers> place_of_;
};

}  // namespace monolith
