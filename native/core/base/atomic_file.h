// A file that appears whole or not at all: written beside its place, synced, then renamed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace monolith {

// Writes the whole of `bytes` to `fd`, however often that takes. Throws Error(kIo) naming `name`.
void WriteAll(int fd, const void* bytes, size_t n, const std::string& name);

class AtomicFile {
 public:
  // Makes `<path>.tmp-<random>`. Throws Error(kCannotCreate) naming the path. A path that is there and is no regular
  // file (a device, a FIFO) is written directly, since it cannot be replaced; so is a file whose directory lets no new
  // one be made but which can itself be written.
  explicit AtomicFile(std::string path);
  ~AtomicFile();  // without Commit(): nothing has happened to `path`
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

 private:
  void Abandon() noexcept;

  std::string path_;   // as the user wrote it
  std::string final_;  // where it goes, links followed
  std::string temp_;   // empty when written directly
  int fd_ = -1;
  std::string buffer_;
};

}  // namespace monolith
