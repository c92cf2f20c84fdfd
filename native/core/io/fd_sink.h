// The end of a chain: records as the bare wire into a file descriptor.
#pragma once

#include <memory>
#include <string>

#include "core/base/error.h"
#include "core/io/record.h"

namespace monolith {

// The reader of a pipe went away; seen only where SIGPIPE is ignored.
class ReaderGone : public Error {
 public:
  explicit ReaderGone(const std::string& name) : Error(ErrorCode::kIo, name + ": the reader has gone") {}
};

class FdSink : public RecordSink {
 public:
  // `name` is for messages; `owned` closes the descriptor at the end. What was not flushed by then is lost.
  FdSink(int fd, std::string name, bool owned = false);
  ~FdSink() override;

  // Records that follow each other in memory with their frames are written straight from there, as one run.
  void Write(const Record& record) override;
  void WriteRun(std::string_view frames, uint64_t records) override;
  // Throws Error(kIo), on a full disk for one, and ReaderGone.
  void Flush() override;

 private:
  void CloseRun();
  void Append(const char* bytes, size_t n);
  void WriteOut(const char* run, size_t n);

  const int fd_;
  const std::string name_;
  const bool owned_;
  const char* run_ = nullptr;      // framed records in the memory of their reader, not yet copied or written
  const char* run_end_ = nullptr;
  std::unique_ptr<char[]> buffer_;
  size_t used_ = 0;
};

}  // namespace monolith
