// Walking and writing protobuf wire format without generated code.
//
// A reader yields one field after the other as a view into the message; nothing is copied, unknown fields included.
// Malformed input throws BadRecord with the reason and the byte position inside the message.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith::wire {

enum class Type : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kStartGroup = 3, kEndGroup = 4, kFixed32 = 5 };

// Nested messages deeper than this are refused, as protobuf's own parsers do.
inline constexpr int kMaxDepth = 100;

// Reads a varint at *p, advances it. Throws BadRecord when it runs over `end` or over ten bytes.
uint64_t ReadVarintSlow(const char*& p, const char* end, const char* begin);

inline uint64_t ReadVarint(const char*& p, const char* end, const char* begin) {
  if (p < end && static_cast<int8_t>(*p) >= 0) return static_cast<uint8_t>(*p++);
  return ReadVarintSlow(p, end, begin);
}

// Reads the tag of a field: at most five bytes, as protobuf has it, and no field number of 0. Throws BadRecord.
uint32_t ReadTag(const char*& p, const char* end, const char* begin);

struct Field {
  uint32_t number = 0;
  Type type = Type::kVarint;
  uint64_t scalar = 0;          // value of kVarint, kFixed64, kFixed32 (bits)
  std::string_view bytes;       // content of kBytes; of a group: what stands between its two tags
  const char* begin = nullptr;  // first byte of the tag
  const char* end = nullptr;    // one past the last byte of the value

  float AsFloat() const {
    uint32_t bits = static_cast<uint32_t>(scalar);
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
  double AsDouble() const {
    double v;
    std::memcpy(&v, &scalar, sizeof v);
    return v;
  }
  int64_t AsInt64() const { return static_cast<int64_t>(scalar); }
  int32_t AsInt32() const { return static_cast<int32_t>(scalar); }
  // Bytes of the field as they stand in the message, tag included.
  std::string_view Whole() const { return {begin, static_cast<size_t>(end - begin)}; }
};

class Reader {
 public:
  explicit Reader(std::string_view message)
      : begin_(message.data()), p_(message.data()), end_(message.data() + message.size()) {}

  // Fills the next field; false at the clean end of the message.
  bool Next(Field* field);

 private:
  const char* SkipGroup(uint32_t number, int depth);

  const char* begin_;
  const char* p_;
  const char* end_;
};

// Calls `visit(value)` for each element of a repeated scalar, packed or not. `field` is one occurrence of it.
// The wire type that is neither packed nor the element's own is a BadRecord.
template <class Visit>
void ForEachVarint(const Field& field, Visit visit) {
  if (field.type == Type::kVarint) return visit(field.scalar);
  if (field.type != Type::kBytes) throw BadRecord("field " + std::to_string(field.number) + " has the wrong wire type");
  const char* p = field.bytes.data();
  const char* end = p + field.bytes.size();
  while (p < end) visit(ReadVarint(p, end, field.bytes.data()));
}

template <class T, class Visit>
void ForEachFixed(const Field& field, Visit visit) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  const Type own = sizeof(T) == 8 ? Type::kFixed64 : Type::kFixed32;
  if (field.type == own) {
    T v;
    std::memcpy(&v, &field.scalar, sizeof v);
    return visit(v);
  }
  if (field.type != Type::kBytes) throw BadRecord("field " + std::to_string(field.number) + " has the wrong wire type");
  if (field.bytes.size() % sizeof(T) != 0)
    throw BadRecord("packed field " + std::to_string(field.number) + " has a length that is no multiple of " +
                    std::to_string(sizeof(T)));
  for (size_t i = 0; i < field.bytes.size(); i += sizeof(T)) visit(LoadLe<T>(field.bytes.data() + i));
}

// Appends fields to a string. Sub-messages are written bottom up: build the inner one, then Bytes(number, inner).
class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}

  void Varint(uint32_t number, uint64_t v) {
    Tag(number, Type::kVarint);
    RawVarint(v);
  }
  void Fixed64(uint32_t number, uint64_t v) {
    Tag(number, Type::kFixed64);
    out_->append(reinterpret_cast<const char*>(&v), 8);
  }
  void Fixed32(uint32_t number, uint32_t v) {
    Tag(number, Type::kFixed32);
    out_->append(reinterpret_cast<const char*>(&v), 4);
  }
  void Float(uint32_t number, float v) {
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    Fixed32(number, bits);
  }
  void Double(uint32_t number, double v) {
    uint64_t bits;
    std::memcpy(&bits, &v, 8);
    Fixed64(number, bits);
  }
  void Bytes(uint32_t number, std::string_view v) {
    Tag(number, Type::kBytes);
    RawVarint(v.size());
    out_->append(v.data(), v.size());
  }
  // Packed fixed-width elements; nothing is written for none.
  template <class T>
  void Packed(uint32_t number, const T* values, size_t n) {
    if (n) Bytes(number, {reinterpret_cast<const char*>(values), n * sizeof(T)});
  }
  void Raw(std::string_view bytes) { out_->append(bytes.data(), bytes.size()); }
  void Tag(uint32_t number, Type type) { RawVarint(uint64_t{number} << 3 | static_cast<uint64_t>(type)); }
  void RawVarint(uint64_t v) {
    while (v >= 0x80) {
      out_->push_back(static_cast<char>(v | 0x80));
      v >>= 7;
    }
    out_->push_back(static_cast<char>(v));
  }

 private:
  std::string* out_;
};

}  // namespace monolith::wire
