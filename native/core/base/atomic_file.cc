#include "core/base/atomic_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "core/base/random.h"

namespace monolith {
namespace {

constexpr size_t kBufferSize = 256 << 10;

[[noreturn]] void Fail(ErrorCode code, const std::string& path, const char* what, int error) {
  throw Error(code, path + ": " + what + ": " + std::strerror(error));
}

std::string RandomSuffix() {
  static const char kDigits[] = "0123456789abcdef";
  uint64_t bits = RandomSeed();
  std::string s;
  for (int i = 0; i < 12; ++i, bits >>= 4) s.push_back(kDigits[bits & 15]);
  return s;
}

void SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string dir = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // a directory that may be entered but not listed: the rename stands, only later on disk
  fsync(fd);
  close(fd);
}

// The number of the open descriptor that a path names; -1 when it names none. Opened anew by that name, a file would begin at its start.
int DescriptorOf(const std::string& path) {
  if (path == "/dev/stdin") return 0;
  if (path == "/dev/stdout") return 1;
  if (path == "/dev/stderr") return 2;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (path.compare(0, folder.size(), folder) != 0) continue;
    const std::string number = path.substr(folder.size());
    if (!number.empty() && number.size() < 7 && number.find_first_not_of("0123456789") == std::string::npos) return std::stoi(number);
  }
  return -1;
}

}  // namespace

void WriteAll(int fd, const void* bytes, size_t n, const std::string& name) {
  const char* p = static_cast<const char*>(bytes);
  while (n > 0) {
    const ssize_t written = write(fd, p, n);
    if (written >= 0) {
      p += written;
      n -= static_cast<size_t>(written);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      pollfd wait = {fd, POLLOUT, 0};
      poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      Fail(ErrorCode::kIo, name, "cannot write", errno);
    }
  }
}

AtomicFile::AtomicFile(std::string path, mode_t mode) : path_(std::move(path)), final_(path_) {
  if (const int named = DescriptorOf(path_); named >= 0) {
    fd_ = fcntl(named, F_DUPFD_CLOEXEC, 0);
    if (fd_ < 0) Fail(ErrorCode::kCannotCreate, path_, "cannot open for writing", errno);
    return;
  }
  struct stat st;
  const bool exists = stat(path_.c_str(), &st) == 0;
  if (exists && S_ISDIR(st.st_mode)) Fail(ErrorCode::kCannotCreate, path_, "cannot create", EISDIR);
  if (exists && !S_ISREG(st.st_mode)) {
    fd_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) Fail(ErrorCode::kCannotCreate, path_, "cannot open for writing", errno);
    return;
  }
  if (exists) {
    if (char* real = realpath(path_.c_str(), nullptr)) {
      final_ = real;
      std::free(real);
    }
  }
  temp_ = final_ + ".tmp-" + RandomSuffix();
  fd_ = open(temp_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode ? mode : 0666);
  const int error = errno;
  if (fd_ >= 0) {
    if (mode || exists) [[maybe_unused]] const int ignored = fchmod(fd_, mode ? mode : st.st_mode & 07777);
    return;
  }
  temp_.clear();
  if (exists && (error == EACCES || error == EROFS)) fd_ = open(path_.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (fd_ < 0) Fail(ErrorCode::kCannotCreate, path_, "cannot create", error);
}

AtomicFile::~AtomicFile() { Abandon(); }

void AtomicFile::Abandon() noexcept {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  if (!temp_.empty()) unlink(temp_.c_str());
  temp_.clear();
}

void AtomicFile::Write(std::string_view bytes) {
  if (buffer_.size() + bytes.size() > kBufferSize) Flush();
  if (bytes.size() >= kBufferSize) return WriteAll(fd_, bytes.data(), bytes.size(), path_);
  buffer_.append(bytes);
}

void AtomicFile::Flush() {
  WriteAll(fd_, buffer_.data(), buffer_.size(), path_);
  buffer_.clear();
}

void AtomicFile::Commit() {
  if (fd_ < 0) throw Error(ErrorCode::kInternal, path_ + ": committed twice");
  Flush();
  // EINVAL and ENOTSUP: a pipe or a device, which has nothing to sync.
  if (fsync(fd_) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
    Fail(ErrorCode::kIo, path_, "cannot sync", errno);
  const int closed = close(fd_);
  const int error = errno;
  fd_ = -1;
  if (closed != 0 && error != EINTR) {
    Abandon();
    Fail(ErrorCode::kIo, path_, "cannot write", error);
  }
  if (temp_.empty()) return;
  if (rename(temp_.c_str(), final_.c_str()) != 0) {
    const int rename_error = errno;
    Abandon();
    Fail(ErrorCode::kCannotCreate, path_, "cannot rename into place", rename_error);
  }
  temp_.clear();
  SyncDirectoryOf(final_);
}

}  // namespace monolith
