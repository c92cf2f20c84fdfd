#include "core/io/fd_sink.h"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/io/pipe_size.h"

namespace monolith {
namespace {

constexpr size_t kBuffer = 256 << 10;
constexpr size_t kDirect = 16 << 10;  // from here on a system call is cheaper than a copy

}  // namespace

FdSink::FdSink(int fd, std::string name, bool owned)
    : fd_(fd), name_(std::move(name)), owned_(owned), buffer_(new char[kBuffer]) {
  EnlargePipe(fd_);
}

FdSink::~FdSink() {
  if (owned_) close(fd_);
}

void FdSink::Write(const Record& record) {
  const char* payload = record.payload.data();
  const size_t n = record.payload.size();
  if (record.framed) {
    if (payload - 8 != run_end_ || run_ == nullptr) {
      CloseRun();
      run_ = payload - 8;
    }
    run_end_ = payload + n;
    return;
  }
  CloseRun();
  char size[8];
  StoreLe<uint64_t>(size, n);
  Append(size, 8);
  Append(payload, n);
}

void FdSink::WriteRun(std::string_view frames, uint64_t /*records*/) {
  if (frames.data() != run_end_ || run_ == nullptr) {
    CloseRun();
    run_ = frames.data();
  }
  run_end_ = frames.data() + frames.size();
}

void FdSink::Append(const char* bytes, size_t n) {
  if (n >= kDirect) return WriteOut(bytes, n);
  if (n > kBuffer - used_) WriteOut(nullptr, 0);
  std::memcpy(buffer_.get() + used_, bytes, n);
  used_ += n;
}

void FdSink::CloseRun() {
  if (run_ == nullptr) return;
  const char* run = run_;
  run_ = nullptr;
  Append(run, static_cast<size_t>(run_end_ - run));
}

void FdSink::Flush() {
  CloseRun();
  if (used_ > 0) WriteOut(nullptr, 0);
}

// The buffer, then `run`.
void FdSink::WriteOut(const char* run, size_t n) {
  iovec parts[2] = {{buffer_.get(), used_}, {const_cast<char*>(run), n}};
  used_ = 0;
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    const ssize_t written = writev(fd_, parts, 2);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EPIPE) throw ReaderGone(name_);
      if (errno != EAGAIN && errno != EWOULDBLOCK)
        throw Error(ErrorCode::kIo, name_ + ": cannot write: " + std::strerror(errno));
      pollfd wait = {fd_, POLLOUT, 0};
      poll(&wait, 1, -1);
      continue;
    }
    size_t left = static_cast<size_t>(written);
    for (iovec& part : parts) {
      const size_t step = std::min(left, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + step;
      part.iov_len -= step;
      left -= step;
    }
  }
}

}  // namespace monolith
