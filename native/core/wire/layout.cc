#include "core/wire/layout.h"

#include <algorithm>

namespace monolith::wire {

bool DecisiveBytes::Add(const Field& field, size_t* value) {
  size_t at = PlaceOf(field.begin);
  while (static_cast<uint8_t>(message_[at]) >= 0x80) marks_[at++] = '\xff';
  marks_[at++] = '\xff';
  *value = at;
  const size_t end = PlaceOf(field.end);
  switch (field.type) {
    case Type::kVarint:
      std::fill(marks_.begin() + static_cast<ptrdiff_t>(at), marks_.begin() + static_cast<ptrdiff_t>(end), '\x80');
      return end - at <= 8;
    case Type::kBytes:
      while (static_cast<uint8_t>(message_[at]) >= 0x80) marks_[at++] = '\xff';
      marks_[at] = '\xff';
      return true;
    default: return field.type != Type::kStartGroup;
  }
}

void Layout::Remember(const DecisiveBytes& decisive) {
  const std::string& marks = decisive.marks_;
  const std::string_view message = decisive.message();
  words_.clear();
  size_ = message.size();
  for (size_t at = 0; (at = marks.find_first_not_of('\0', at)) != std::string::npos; at += 8) {
    const size_t word = std::min(at, size_ - 8);
    const auto load = [word](std::string_view bytes) { return LoadLe<uint64_t>(bytes.data() + word); };
    words_.push_back({load(message), load(marks), static_cast<uint32_t>(word)});
  }
}

}  // namespace monolith::wire
