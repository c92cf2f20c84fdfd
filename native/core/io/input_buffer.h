// The bytes of a source at hand in one piece, as readers of frames want them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "core/io/record_reader.h"

namespace monolith {

class InputBuffer {
 public:
  static constexpr size_t kCapacity = 256 << 10;

  explicit InputBuffer(std::shared_ptr<ByteSource> source, size_t capacity = kCapacity);

  const char* data() const { return memory_.get() + begin_; }
  size_t size() const { return end_ - begin_; }
  uint64_t position() const { return position_; }  // of data() in the source
  ByteSource& source() const { return *source_; }

  // Passes over n bytes, n <= size(). They stay readable until Fill().
  void Consume(size_t n) {
    begin_ += n;
    position_ += n;
  }

  // Reads on until n bytes are there; false when the source ends before. Moves data(). Memory grows as the bytes
  // arrive, never on the word of a length field alone.
  bool Fill(size_t n);

  // Skips forward to `position`, in the buffer or the source; false when the source ends before.
  bool SkipTo(uint64_t position);

 private:
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  void MakeRoom(size_t n);

  std::shared_ptr<ByteSource> source_;
  std::unique_ptr<char, Free> memory_;
  size_t capacity_;
  size_t begin_ = 0, end_ = 0;
  uint64_t position_ = 0;
};

}  // namespace monolith
