#include "core/wire/wire.h"

namespace monolith::wire {
namespace {

[[noreturn]] void Fail(const char* what, const char* at, const char* begin) {
  throw BadRecord(std::string(what) + " at byte " + std::to_string(at - begin) + " of the record");
}

}  // namespace

uint64_t ReadVarintSlow(const char*& p, const char* end, const char* begin) {
  const char* start = p;
  uint64_t v = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (p >= end) Fail("a number is cut short", start, begin);
    const uint8_t b = static_cast<uint8_t>(*p++);
    v |= static_cast<uint64_t>(b & 0x7f) << shift;
    if (b < 0x80) return v;
  }
  Fail("a number is longer than ten bytes", start, begin);
}

uint32_t ReadTag(const char*& p, const char* end, const char* begin) {
  const char* start = p;
  const uint64_t tag = ReadVarint(p, end, begin);
  if (p - start > 5 || tag > UINT32_MAX || tag >> 3 == 0) Fail("a field number out of range", start, begin);
  return static_cast<uint32_t>(tag);
}

bool Reader::Next(Field* field) {
  if (p_ >= end_) return false;
  field->begin = p_;
  const uint32_t tag = ReadTag(p_, end_, begin_);
  field->number = tag >> 3;
  field->type = static_cast<Type>(tag & 7);
  switch (field->type) {
    case Type::kVarint:
      field->scalar = ReadVarint(p_, end_, begin_);
      break;
    case Type::kFixed64:
      if (end_ - p_ < 8) Fail("a fixed64 is cut short", p_, begin_);
      field->scalar = LoadLe<uint64_t>(p_);
      p_ += 8;
      break;
    case Type::kFixed32:
      if (end_ - p_ < 4) Fail("a fixed32 is cut short", p_, begin_);
      field->scalar = LoadLe<uint32_t>(p_);
      p_ += 4;
      break;
    case Type::kBytes: {
      const uint64_t n = ReadVarint(p_, end_, begin_);
      if (n > static_cast<uint64_t>(end_ - p_)) Fail("a field reaches over the end", field->begin, begin_);
      field->bytes = {p_, static_cast<size_t>(n)};
      p_ += n;
      break;
    }
    case Type::kStartGroup: {
      const char* content = p_;
      const char* content_end = SkipGroup(field->number, 1);
      field->bytes = {content, static_cast<size_t>(content_end - content)};
      break;
    }
    default:
      Fail("an unknown wire type", field->begin, begin_);
  }
  field->end = p_;
  return true;
}

// Returns where the content ends and the closing tag begins.
const char* Reader::SkipGroup(uint32_t number, int depth) {
  if (depth > kMaxDepth) Fail("groups nested too deep", p_, begin_);
  while (true) {
    if (p_ >= end_) Fail("a group without end", p_, begin_);
    const char* at = p_;
    const uint32_t tag = ReadTag(p_, end_, begin_);
    const uint32_t inner = tag >> 3;
    uint64_t skip = 0;
    switch (static_cast<Type>(tag & 7)) {
      case Type::kVarint: ReadVarint(p_, end_, begin_); break;
      case Type::kFixed64: skip = 8; break;
      case Type::kFixed32: skip = 4; break;
      case Type::kBytes: skip = ReadVarint(p_, end_, begin_); break;
      case Type::kStartGroup: SkipGroup(inner, depth + 1); break;
      case Type::kEndGroup:
        if (inner != number) Fail("a group ends as another", at, begin_);
        return at;
      default: Fail("an unknown wire type", at, begin_);
    }
    if (skip > static_cast<uint64_t>(end_ - p_)) Fail("a field reaches over the end", at, begin_);
    p_ += skip;
  }
}

}  // namespace monolith::wire
