// A file that appears whole or not at all: written beside its place, synced, then renamed.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace monolith {

// Writes the whole of `bytes` to `fd`, however often that takes. Throws Error(kIo) naming `name`.
void WriteAll(int fd, const void* bytes, size_t n, const std::string& name);

class AtomicFile {
 public:
  // Makes `<path>.tmp-<random>`. Throws Error(kCannotCreate) naming the path. A path that is there and is no regular
  // file (a device, a FIFO) is written directly, since it cannot be replaced; so is an open descriptor (/dev/stdout,
  // /dev/fd/3), whatever it leads to, and a file whose directory lets no new one be made but which can itself be written.
  // mode: permissions of the file; 0: those of the file that is there, or what the umask leaves.
  explicit AtomicFile(std::string path, mode_t mode = 0);
  ~AtomicFile();  // Abandon()
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Buffered. Throws Error(kIo), on a full disk for one.
  void Write(std::string_view bytes);
  void Flush();

  // The descriptor, for writers that do their own buffering; call Flush() before using both.
  int fd() const { return fd_; }
  const std::string& path() const { return path_; }

  // Syncs the file, renames it into place and syncs the directory. Throws Error(kIo); `path` is then as it was.
  void Commit();

  // Nothing has happened to `path`, unless it was written directly. Does nothing after Commit().
  void Abandon() noexcept;

 private:
  std::string path_;   // as the user wrote it
  std::string final_;  // where it goes, links followed
  std::string temp_;   // empty when written directly
  int fd_ = -1;
  std::string buffer_;
};

}  // namespace monolith
