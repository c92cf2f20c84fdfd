// Fields of LineId, as a table, and a reader of the ones somebody wants.
//
// Code that works on a field by name looks it up here and goes by its kind. A deployment with a wider LineId adds its
// fields to the table (and to line_id.proto); nothing else has to know them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
// several times is merged, as protobuf does.
class LineIdReader {
 public:
  LineIdReader() { slot_of_.fill(kNone); }

  // Asks for a field; returns where its value will stand. Asking again gives the same place.
  int Want(const LineIdField& field);
  bool empty() const { return values_.empty(); }

  // Sets all values to their defaults.
  void Reset();
  // Takes over what one occurrence of the message holds. Strings stay views into it. Throws BadRecord; positions count
  // from `origin`.
  void Merge(std::string_view message, const char* origin);

  int64_t Int(int slot) const { return static_cast<int64_t>(values_[slot].bits); }
  uint64_t Uint(int slot) const { return values_[slot].bits; }
  float Float(int slot) const;
  std::string_view String(int slot) const { return values_[slot].text; }
  const std::vector<int64_t>& List(int slot) const { return values_[slot].list; }

 private:
  static constexpr uint8_t kNone = 255;
  struct Value {
    const LineIdField* field;
    uint64_t bits = 0;
    std::string_view text;
    std::vector<int64_t> list;
  };
  std::vector<Value> values_;
  std::array<uint8_t, kLineIdNumbers> slot_of_;
};

}  // namespace monolith
