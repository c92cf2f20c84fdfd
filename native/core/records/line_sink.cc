#include "core/records/line_sink.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace monolith {

void LineSink::Write(const Record& record) {
  buffer_.append(record.payload);
  buffer_.push_back('\n');
  if (buffer_.size() >= size_t{1} << 16) Flush();
}

void LineSink::Flush() {
  const char* p = buffer_.data();
  size_t left = buffer_.size();
  while (left) {
    const ssize_t n = write(fd_, p, left);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      buffer_.clear();
      throw Error(ErrorCode::kIo, name_ + ": " + std::strerror(error));
    }
    p += n;
    left -= static_cast<size_t>(n);
  }
  buffer_.clear();
}

}  // namespace monolith
