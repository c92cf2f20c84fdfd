// Fields of LineId, as a table, and a reader of the ones somebody wants.
//
// Code that works on a field by name looks it up here and goes by its kind. A deployment with a wider LineId adds its
// fields to the table (and to line_id.proto); nothing else has to know them.
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

enum class FieldKind : uint8_t { kInt32, kInt64, kUint64, kFloat, kString, kBool };

struct LineIdField {
  std::string_view name;
  uint32_t number;
  FieldKind kind;
  bool repeated = false;
  float default_float = 0;  // of a float field; every other kind reads 0 or "" when unset
};

// kUint64 is fixed64 on the wire, the integers and bool are varints. Numbers are below kLineIdNumbers.
inline constexpr LineIdField kLineIdFields[] = {
    {"uid", 2, FieldKind::kUint64},
    {"req_time", 3, FieldKind::kInt64},
    {"item_id", 4, FieldKind::kUint64},
    {"actions", 6, FieldKind::kInt32, true},
    {"chnid", 19, FieldKind::kInt64},
    {"pre_actions", 23, FieldKind::kInt32, true},
    {"sample_rate", 27, FieldKind::kFloat, false, 1.0f},
    {"special_strategies", 39, FieldKind::kInt32, true},
    {"device_type", 41, FieldKind::kString},
    {"cid", 48, FieldKind::kString},
    {"user_id", 49, FieldKind::kString},
    {"is_draw", 87, FieldKind::kBool},
    {"rank", 145, FieldKind::kInt32},
    {"data_source_name", 235, FieldKind::kString},
};
inline constexpr uint32_t kLineIdNumbers = 256;

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
  std::string_view String(int place) const { return texts_[place]; }
  const std::vector<int64_t>& List(int place) const { return lists_[place]; }

 private:
  static constexpr size_t kMost = std::size(kLineIdFields);
  static constexpr uint8_t kNone = 255;

  std::vector<const LineIdField*> fields_;
  std::vector<uint8_t> strings_, repeated_;  // places of these kinds
  std::array<uint64_t, kMost> bits_{}, defaults_{};
  std::array<std::string_view, kMost> texts_;
  std::array<std::vector<int64_t>, kMost> lists_;
  std::array<uint8_t, kLineIdNumbers> place_of_;
};

}  // namespace monolith
