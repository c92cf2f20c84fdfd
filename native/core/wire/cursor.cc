#include "core/wire/cursor.h"

namespace monolith::wire {

void Cursor::FailAt(const char* what, const char* p, const char* origin) {
  throw BadRecord(std::string(what) + " at byte " + std::to_string(p - origin) + " of the record");
}

Cursor::Slow Cursor::VarintSlow(const char* p, const char* end, const char* origin) {
  const uint64_t value = ReadVarintSlow(p, end, origin);
  return {value, p};
}

Cursor::Slow Cursor::TagSlow(const char* p, const char* end, const char* origin) {
  const uint32_t tag = ReadTag(p, end, origin);
  return {tag, p};
}

const char* Cursor::SkipRare(uint32_t tag, const char* p, const char* end, const char* origin) {
  Cursor c({p, static_cast<size_t>(end - p)}, origin);
  if (static_cast<Type>(tag & 7) != Type::kStartGroup) c.Fail("an unknown wire type");
  c.SkipGroup(tag >> 3, 1);
  return c.p_;
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
