#include "core/wire/cursor.h"

namespace monolith::wire {

void Cursor::Fail(const char* what) const {
  throw BadRecord(std::string(what) + " at byte " + std::to_string(p_ - origin_) + " of the record");
}

uint32_t Cursor::TagSlow() { return ReadTag(p_, end_, origin_); }

void Cursor::SkipRare(uint32_t tag) {
  if (static_cast<Type>(tag & 7) != Type::kStartGroup) Fail("an unknown wire type");
  SkipGroup(tag >> 3, 1);
}

void Cursor::SkipGroup(uint32_t number, int depth) {
  if (depth > kMaxDepth) Fail("groups nested too deep");
  while (true) {
    if (done()) Fail("a group without end");
    const uint32_t tag = Tag();
    const Type type = static_cast<Type>(tag & 7);
    if (type == Type::kEndGroup) {
      if (tag >> 3 != number) Fail("a group ends as another");
      return;
    }
    if (type == Type::kStartGroup) {
      SkipGroup(tag >> 3, depth + 1);
    } else {
      Skip(tag);
    }
  }
}

}  // namespace monolith::wire
