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
#include "core/wire/cursor.h"
#include "core/wire/layout.h"

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

// What to do with the value behind a tag: pass over it by its wire type, or take it.
enum class LineIdStep : uint8_t {
  kSkipVarint, kSkipFixed64, kSkipBytes, kSkipFixed32, kSkipRare,
  kVarint, kInt32, kFixed64, kFixed32, kText,
  kOther,  // lists, and numbers that are cut to fewer bits
};
struct LineIdAction {
  LineIdStep step;
  uint8_t place;
};

// Where a value stands in a message whose layout is known.
struct LineIdTake {
  LineIdAction action;
  uint8_t shift = 0;   // of a number: bits of the word before it
  uint32_t tag;
  uint32_t at = 0;     // of a word of eight bytes that holds the number; else of the bytes
  uint32_t size = 0;   // of the bytes
  uint64_t bits = 0;   // of a varint: those of the word that are its number
};

// Values of some fields of one LineId. Singular fields: the last occurrence wins; a LineId that stands in a record
// several times is merged, as protobuf does. A field that comes with another wire type than its own is unknown.
class LineIdReader {
 public:
  // Asks for a field; returns the place of its value. Asking again gives the same place.
  int Want(const LineIdField& field);
  bool empty() const { return fields_.empty(); }

  // Sets all values to their defaults.
  void Reset() {
    bits_ = defaults_;
    for (uint8_t place : strings_) texts_[place] = {};
    for (uint8_t place : repeated_) lists_[place].clear();
  }
  // Takes over what one occurrence of the message holds. Strings stay views into it. Throws BadRecord; positions count
  // from `origin`.
  void Merge(std::string_view message, const char* origin);

  // Adds to `decisive`, which are those of `line_id` or of a message around it, and to `takes` what TakeAt needs to take the
  // same out of all messages of the same layout. False when it is none to remember. `line_id` must have been walked.
  bool Describe(std::string_view line_id, wire::DecisiveBytes* decisive, std::vector<LineIdTake>* takes) const;
  // `message` is the one that `decisive` are of.
  void TakeAt(const std::vector<LineIdTake>& takes, const char* message, const char* origin) {
    for (const LineIdTake& take : takes) {
      const char* const p = message + take.at;
      uint64_t& bits = bits_[take.action.place];
      switch (take.action.step) {
        case LineIdStep::kVarint: bits = wire::VarintOf(LoadLe<uint64_t>(p) >> take.shift, take.bits); break;
        case LineIdStep::kFixed64: bits = LoadLe<uint64_t>(p); break;
        case LineIdStep::kText: texts_[take.action.place] = {p, take.size}; break;
        default: TakeRare(take, p, origin);
      }
    }
  }

  int64_t Int(int place) const { return static_cast<int64_t>(bits_[place]); }
  uint64_t Uint(int place) const { return bits_[place]; }
  float Float(int place) const { return LoadLe<float>(&bits_[place]); }
  double Double(int place) const { return LoadLe<double>(&bits_[place]); }
  std::string_view String(int place) const { return texts_[place]; }
  // Of a repeated field of integers.
  const std::vector<int64_t>& List(int place) const { return lists_[place]; }

 private:
  static constexpr size_t kMost = std::size(kLineIdFields);
  static constexpr size_t kMostRemembered = 256;  // bytes of a message

  static LineIdStep SkipOf(uint32_t tag);
  static LineIdStep StepOf(const LineIdField& field, uint32_t tag);
  void Walk(std::string_view message, const char* origin);
  void TakeRare(const LineIdTake& take, const char* p, const char* origin);
  wire::Cursor TakeOther(wire::Cursor c, uint32_t tag, uint8_t place, const char* origin);

  std::vector<const LineIdField*> fields_;
  std::vector<uint8_t> strings_, repeated_;  // places of these kinds
  std::array<uint64_t, kMost> bits_{}, defaults_{};
  std::array<std::string_view, kMost> texts_;
  std::array<std::vector<int64_t>, kMost> lists_;
  std::vector<LineIdAction> actions_;  // by tag, up to the greatest number that is wanted
  struct Remembered {
    wire::Layout layout;
    std::vector<LineIdTake> takes;
  };
  std::vector<Remembered> layouts_;  // by the size of the message
};

}  // namespace monolith
