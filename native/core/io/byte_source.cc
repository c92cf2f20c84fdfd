#include "core/io/byte_source.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/error.h"
#include "core/base/stop.h"
#include "core/io/pipe_size.h"

namespace monolith {

uint64_t ByteSource::Skip(uint64_t n) {
  char scratch[16384];
  uint64_t skipped = 0;
  while (skipped < n) {
    const size_t got = Read(scratch, static_cast<size_t>(std::min<uint64_t>(n - skipped, sizeof scratch)));
    if (got == 0) break;
    skipped += got;
  }
  return skipped;
}

FdSource::FdSource(int fd, std::string name, bool owned, std::string prefix)
    : ByteSource(std::move(name)), fd_(fd), owned_(owned), prefix_(std::move(prefix)) {
  struct stat st;
  if (fstat(fd_, &st) != 0) throw Error(ErrorCode::kNoInput, this->name() + ": cannot read: " + std::strerror(errno));
  if (S_ISDIR(st.st_mode)) throw Error(ErrorCode::kNoInput, this->name() + ": is a directory");
  seekable_ = S_ISREG(st.st_mode);
  if (seekable_) {
    posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
    return;
  }
  EnlargePipe(fd_);
  cancel_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

FdSource::~FdSource() {
  if (owned_) close(fd_);
  if (cancel_fd_ >= 0) close(cancel_fd_);
}

void FdSource::Cancel() {
  if (cancel_fd_ >= 0) eventfd_write(cancel_fd_, 1);
}

// A signal may come between a look at the flag and the read, or to another thread: only poll() on the stop
// descriptor sees it for sure.
void FdSource::WaitReadable() {
  pollfd wait[3] = {{fd_, POLLIN, 0}, {cancel_fd_, POLLIN, 0}, {StopDescriptor(), POLLIN, 0}};
  while (true) {
    const int ready = poll(wait, 3, -1);
    if (ready < 0 && errno != EINTR) throw Error(ErrorCode::kIo, name() + ": cannot read: " + std::strerror(errno));
    if (StopRequested() || (ready > 0 && wait[1].revents)) throw Interrupted();
    if (ready > 0 && wait[0].revents) return;
  }
}

size_t FdSource::Read(char* to, size_t n) {
  if (prefix_used_ < prefix_.size()) {
    const size_t taken = std::min(n, prefix_.size() - prefix_used_);
    std::memcpy(to, prefix_.data() + prefix_used_, taken);
    prefix_used_ += taken;
    return taken;
  }
  while (true) {
    if (!seekable_) WaitReadable();
    const ssize_t got = read(fd_, to, n);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
      throw Error(ErrorCode::kIo, name() + ": cannot read: " + std::strerror(errno));
  }
}

uint64_t FdSource::Skip(uint64_t n) {
  uint64_t skipped = std::min<uint64_t>(n, prefix_.size() - prefix_used_);
  prefix_used_ += static_cast<size_t>(skipped);
  if (!seekable_) return skipped + ByteSource::Skip(n - skipped);
  struct stat st;
  const off_t at = lseek(fd_, 0, SEEK_CUR);
  if (at < 0 || fstat(fd_, &st) != 0) return skipped + ByteSource::Skip(n - skipped);
  const uint64_t left = st.st_size > at ? static_cast<uint64_t>(st.st_size - at) : 0;
  const uint64_t step = std::min(left, n - skipped);
  if (lseek(fd_, static_cast<off_t>(step), SEEK_CUR) < 0)
    throw Error(ErrorCode::kIo, name() + ": cannot seek: " + std::strerror(errno));
  return skipped + step;
}

size_t MemorySource::Read(char* to, size_t n) {
  const size_t got = std::min(n, bytes_.size() - at_);
  std::memcpy(to, bytes_.data() + at_, got);
  at_ += got;
  return got;
}

uint64_t MemorySource::Skip(uint64_t n) {
  const uint64_t step = std::min<uint64_t>(n, bytes_.size() - at_);
  at_ += static_cast<size_t>(step);
  return step;
}

}  // namespace monolith
