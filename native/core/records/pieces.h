// Pieces of messages as views: what conversion takes out of one container and puts into another.
//
// Reading follows protobuf's parsers: occurrences of a singular message are merged (which is concatenation), repeated
// scalars may come packed or not, a field with the wrong wire type counts as unknown.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "core/wire/schema.h"
#include "core/wire/wire.h"

namespace monolith {

// Strings that views point into until Reset(); they keep their memory for the next record.
class Scratch {
 public:
  std::string* New() {
    if (used_ == strings_.size()) strings_.emplace_back();
    strings_[used_].clear();
    return &strings_[used_++];
  }
  void Reset() { used_ = 0; }

 private:
  std::deque<std::string> strings_;
  size_t used_ = 0;
};

// Bytes that stand in a message in one piece or in several, seen as one.
class Merged {
 public:
  void Add(std::string_view piece, Scratch* scratch) {
    if (!present_) {
      view_ = piece;
      present_ = true;
      return;
    }
    if (!own_) {
      own_ = scratch->New();
      own_->assign(view_);
    }
    own_->append(piece);
    view_ = *own_;
  }
  void Clear() { *this = Merged(); }
  bool present() const { return present_; }
  std::string_view view() const { return view_; }

 private:
  std::string_view view_;
  std::string* own_ = nullptr;
  bool present_ = false;
};

// The elements one occurrence of a repeated scalar holds, as they stand packed: fixed-width values back to back, or
// varints. `own` is the wire type of an element. False for another wire type. Throws BadRecord when they are cut short.
bool Elements(const wire::Field& field, wire::Type own, std::string_view* elements);

inline bool AddElements(const wire::Field& field, wire::Type own, Merged* to, Scratch* scratch) {
  std::string_view elements;
  if (!Elements(field, own, &elements)) return false;
  to->Add(elements, scratch);
  return true;
}

// Packed elements of a message that is a list (`repeated value = 1`).
std::string_view ListElements(std::string_view list, wire::Type own, Scratch* scratch);

// The oneof of a monolith.io.proto.Feature.
struct FeatureContent {
  uint32_t kind = 0;         // schema::feature::k…, 0 when nothing is set
  std::string_view content;  // the list message, or the bytes of kBytesValue; empty for the other scalars
};

// Reads a feature and checks that what is set can be read; throws BadRecord otherwise.
FeatureContent ReadFeature(std::string_view feature, Scratch* scratch);

// Throws BadRecord unless the bytes are a RawFeature.
void CheckRawFeature(std::string_view bytes, Scratch* scratch);

// Wire type of the elements in a list of a kind: fid_v1_list, fid_v1_lists, … (kBytes for bytes).
wire::Type ElementType(uint32_t feature_kind);

// Throws BadRecord unless the bytes are a LineId.
void CheckLineId(std::string_view bytes);

// Throws BadRecord unless `name` is UTF-8, as proto3 wants it of strings. `what` stands in the message.
void CheckUtf8(std::string_view name, const char* what);

inline size_t VarintSize(uint64_t v) { return (70 - __builtin_clzll(v | 1)) / 7; }
// Size of a field whose value is `n` bytes with a length before them.
inline size_t BytesSize(uint32_t number, size_t n) { return VarintSize(uint64_t{number} << 3) + VarintSize(n) + n; }

// Appends a NamedFeature as field `number`. `packed` elements become the list's one packed field; otherwise `content`
// is the list message itself. Kind 0 makes a feature with nothing set.
void WriteNamedFeature(uint32_t number, std::string_view name, uint64_t id, uint32_t kind, std::string_view content,
                       bool packed, std::string* out);

inline float LoadFloat(std::string_view packed, size_t i = 0) {
  float v;
  std::memcpy(&v, packed.data() + 4 * i, 4);
  return v;
}

}  // namespace monolith
