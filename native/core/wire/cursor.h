// The fast way through a message: switch over tags, everything inline. `wire.h` has the convenient one.
//
//   Cursor c(message);
//   while (!c.done()) {
//     switch (const uint32_t tag = c.Tag()) {
//       case Key(1, Type::kBytes): use(c.Bytes()); break;
//       default: c.Skip(tag);
//     }
//   }
//
// A field that comes with another wire type than the case names falls to Skip, that is, it counts as unknown, as in
// protobuf's own parsers. Malformed input throws BadRecord with the byte position in the record.
#pragma once

#ifdef __BMI2__
#include <immintrin.h>
#endif

#include "core/wire/wire.h"

namespace monolith::wire {

constexpr uint32_t Key(uint32_t number, Type type) { return number << 3 | static_cast<uint32_t>(type); }

// The number of a varint: `bits` are those of its word that are not the top bits of bytes.
inline uint64_t VarintOf(uint64_t word, uint64_t bits) {
#ifdef __BMI2__
  return _pext_u64(word, bits);
#else
  uint64_t v = 0;
  for (int i = 0; i < 8; ++i) v |= (word >> 8 * i & bits >> 8 * i & 0x7f) << 7 * i;
  return v;
#endif
}

class Cursor {
 public:
  // `origin` is where the record begins that `message` is a part of: positions in errors count from it.
  explicit Cursor(std::string_view message, const char* origin = nullptr)
      : p_(message.data()), end_(p_ + message.size()), origin_(origin ? origin : p_) {}

  bool done() const { return p_ >= end_; }
  // What is read next.
  const char* at() const { return p_; }

  uint32_t Tag() {
    if (end_ - p_ >= 2) {
      const uint8_t a = static_cast<uint8_t>(p_[0]);
      if (a < 0x80 && a >= 8) return ++p_, a;
      const uint8_t b = static_cast<uint8_t>(p_[1]);
      if (a >= 0x80 && b < 0x80 && b > 0) return p_ += 2, (a & 0x7fu) | uint32_t{b} << 7;
    }
    const Slow slow = TagSlow(p_, end_, origin_);
    p_ = slow.next;
    return static_cast<uint32_t>(slow.value);
  }
  uint64_t Varint() {
    if (p_ < end_ && static_cast<int8_t>(*p_) >= 0) return static_cast<uint8_t>(*p_++);
#ifdef __BMI2__
    if (end_ - p_ >= 8) {
      const uint64_t word = LoadLe<uint64_t>(p_);
      const uint64_t last = ~word & 0x8080808080808080u;  // the lowest bit stands in the last byte of the number
      if (last) {
        p_ += (__builtin_ctzll(last) >> 3) + 1;
        return VarintOf(word, (last ^ (last - 1)) & 0x7f7f7f7f7f7f7f7fu);
      }
    }
#endif
    const Slow slow = VarintSlow(p_, end_, origin_);
    p_ = slow.next;
    return slow.value;
  }
  std::string_view Bytes() {
    const uint64_t n = Varint();
    if (n > static_cast<uint64_t>(end_ - p_)) Fail("a field reaches over the end");
    p_ += n;
    return {p_ - n, static_cast<size_t>(n)};
  }
  // The eight (four) bytes of a fixed64 (fixed32) as they stand in the message.
  std::string_view Fixed64() { return Take(8); }
  std::string_view Fixed32() { return Take(4); }

  void Skip(uint32_t tag) {
    switch (static_cast<Type>(tag & 7)) {
      case Type::kVarint: Varint(); return;
      case Type::kFixed64: Take(8); return;
      case Type::kBytes: Bytes(); return;
      case Type::kFixed32: Take(4); return;
      default: p_ = SkipRare(tag, p_, end_, origin_);
    }
  }

  [[noreturn]] void Fail(const char* what) const { FailAt(what, p_, origin_); }

 private:
  std::string_view Take(size_t n) {
    if (static_cast<size_t>(end_ - p_) < n) Fail("a number is cut short");
    p_ += n;
    return {p_ - n, n};
  }

  // What is rare stands out of line and takes the position by value: a cursor whose address nobody takes lives in registers.
  struct Slow {
    uint64_t value;
    const char* next;
  };
  static Slow TagSlow(const char* p, const char* end, const char* origin);
  static Slow VarintSlow(const char* p, const char* end, const char* origin);
  static const char* SkipRare(uint32_t tag, const char* p, const char* end, const char* origin);
  void SkipGroup(uint32_t number, int depth);
  [[noreturn]] static void FailAt(const char* what, const char* p, const char* origin);

  const char* p_;
  const char* end_;
  const char* origin_;
};

// Packed elements of a fixed width, as bytes whose number is a multiple of `width`.
inline std::string_view PackedOf(std::string_view bytes, size_t width, const Cursor& c) {
  if (bytes.size() % width != 0) c.Fail("a packed list is cut short");
  return bytes;
}

}  // namespace monolith::wire
