// Byte sources: file descriptors, memory, and the Hadoop snappy layer over another source.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/io/record_reader.h"

namespace monolith {

// Reads a file descriptor. On pipes, sockets and terminals a stop request (base/stop.h) or Cancel() breaks off the wait.
class FdSource : public ByteSource {
 public:
  // `prefix` was already read from `fd` and comes first. Closes `fd` at the end when `owned`.
  FdSource(int fd, std::string name, bool owned, std::string prefix = {});
  ~FdSource() override;
  size_t Read(char* to, size_t n) override;
  uint64_t Skip(uint64_t n) override;
  void Cancel() override;

 private:
  void WaitReadable();

  const int fd_;
  const bool owned_;
  bool seekable_ = false;
  int cancel_fd_ = -1;
  std::string prefix_;
  size_t prefix_used_ = 0;
};

class MemorySource : public ByteSource {
 public:
  MemorySource(std::string bytes, std::string name) : ByteSource(std::move(name)), bytes_(std::move(bytes)) {}
  size_t Read(char* to, size_t n) override;
  uint64_t Skip(uint64_t n) override;

 private:
  std::string bytes_;
  size_t at_ = 0;
};

// Hadoop block snappy: blocks of u32 big-endian length and chunks, each u32 big-endian length and raw snappy.
std::unique_ptr<ByteSource> MakeHadoopSnappySource(std::shared_ptr<ByteSource> compressed);

}  // namespace monolith
