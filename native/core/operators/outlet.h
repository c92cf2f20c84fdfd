// A place records go to beside the stream: a file that appears whole, a pipe, a device, or the stream itself (`-`).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/atomic_file.h"
#include "core/io/fd_sink.h"
#include "core/io/record.h"

namespace monolith {

class Outlet {
 public:
  // Throws Error(kCannotCreate). A FIFO is not opened yet.
  explicit Outlet(std::string path);

  // A FIFO that has a reader by now is opened for writing. True unless it is still without one.
  bool TryOpen();

  // Does nothing once the reader has gone. Throws Error(kIo).
  void Write(const Record& record, RecordSink* next);
  void Flush(RecordSink* next);
  void Commit();

  const std::string& path() const { return path_; }
  uint64_t missed() const { return missed_; }  // records the reader was gone for, or perhaps had not read when it went
  bool gone() const { return gone_; }
  bool holds_back() const { return file_ != nullptr; }  // its file is still to appear

 private:
  void Leave();

  const std::string path_;
  bool fifo_ = false, gone_ = false;
  std::unique_ptr<AtomicFile> file_;
  std::unique_ptr<FdSink> sink_;  // null for `-` and a FIFO without reader
  uint64_t pending_ = 0;  // records since the last flush
  uint64_t missed_ = 0;
};

}  // namespace monolith
