#include "core/io/input_buffer.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "core/base/error.h"

namespace monolith {

InputBuffer::InputBuffer(std::shared_ptr<ByteSource> source, size_t capacity)
    : source_(std::move(source)), memory_(static_cast<char*>(std::malloc(capacity))), capacity_(capacity) {
  if (!memory_) throw std::bad_alloc();
}

void InputBuffer::MakeRoom(size_t n) {
  if (begin_ > 0) {
    std::memmove(memory_.get(), data(), size());
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ < capacity_) return;
  const size_t wanted = std::min(n, 2 * capacity_);
  char* larger = static_cast<char*>(std::realloc(memory_.get(), wanted));
  if (!larger)
    throw Error(ErrorCode::kIo, source_->name() + ": no memory for a record of " + std::to_string(n) + " bytes");
  (void)memory_.release();
  memory_.reset(larger);
  capacity_ = wanted;
}

bool InputBuffer::Fill(size_t n) {
  while (size() < n) {
    MakeRoom(n);
    const size_t got = source_->Read(memory_.get() + end_, capacity_ - end_);
    if (got == 0) return false;
    end_ += got;
  }
  return true;
}

bool InputBuffer::SkipTo(uint64_t position) {
  uint64_t n = position - position_;
  const size_t here = static_cast<size_t>(std::min<uint64_t>(n, size()));
  Consume(here);
  n -= here;
  const uint64_t skipped = n ? source_->Skip(n) : 0;
  position_ += skipped;
  return skipped == n;
}

}  // namespace monolith
