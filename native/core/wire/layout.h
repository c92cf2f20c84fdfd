// A layout of messages that was seen before. Writers give most messages of a stream the same fields in the same order, with
// numbers of the same length. Where the bytes that decide this (tags, lengths, the top bits of varints) are the same as in a
// message that was walked, the values stand at the same places, and there is no need to walk again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/wire/wire.h"

namespace monolith::wire {

// Finds the bytes of one message that decide its layout.
class DecisiveBytes {
 public:
  explicit DecisiveBytes(std::string_view message) : message_(message), marks_(message.size(), '\0') {}

  std::string_view message() const { return message_; }
  size_t PlaceOf(const char* p) const { return static_cast<size_t>(p - message_.data()); }
  // Adds a field of the message, or of a message in it; *value is where its value begins, behind the tag. False for a
  // field that makes the message none to remember.
  bool Add(const Field& field, size_t* value);

 private:
  friend class Layout;

  std::string_view message_;
  std::string marks_;  // the bits that decide
};

class Layout {
 public:
  static constexpr size_t kLeast = 8;  // bytes of a message that can have one

  bool Fits(std::string_view message) const {
    if (message.size() != size_) return false;
    uint64_t differs = 0;
    for (const Word& w : words_) differs |= (LoadLe<uint64_t>(message.data() + w.at) ^ w.value) & w.decisive;
    return differs == 0;
  }

  // Counts a message that does not fit; true when it is worth remembering instead: now and then only, so that messages which
  // are all different cost little.
  bool Miss() {
    ++misses_;
    size_ = kNone;
    return (misses_ & (misses_ - 1)) == 0;
  }
  void Remember(const DecisiveBytes& decisive);

 private:
  struct Word {
    uint64_t value, decisive;
    uint32_t at;
  };
  static constexpr size_t kNone = SIZE_MAX;
  size_t size_ = kNone;
  uint32_t misses_ = 0;
  std::vector<Word> words_;
};

}  // namespace monolith::wire
