#include "core/operators/outlet.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace monolith {

Outlet::Outlet(std::string path) : path_(std::move(path)) {
  if (path_ == "-") return;
  struct stat st;
  fifo_ = stat(path_.c_str(), &st) == 0 && S_ISFIFO(st.st_mode);
  if (fifo_) return;
  file_ = std::make_unique<AtomicFile>(path_);
  sink_ = std::make_unique<FdSink>(file_->fd(), path_);
}

bool Outlet::TryOpen() {
  if (!fifo_ || sink_) return true;
  const int fd = open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENXIO || errno == EINTR) return false;
    throw Error(ErrorCode::kCannotCreate, path_ + ": cannot open for writing: " + std::strerror(errno));
  }
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  sink_ = std::make_unique<FdSink>(fd, path_, true);
  return true;
}

void Outlet::Write(const Record& record, RecordSink* next) {
  ++(gone_ ? missed_ : pending_);
  if (gone_) return;
  try {
    sink_ ? sink_->Write(record) : next->Write(record);
  } catch (const ReaderGone&) {
    Leave();
  }
}

void Outlet::Flush(RecordSink* next) {
  if (gone_ || (!sink_ && path_ != "-")) return;
  try {
    (sink_ ? sink_.get() : next)->Flush();
    pending_ = 0;
  } catch (const ReaderGone&) {
    Leave();
  }
}

void Outlet::Leave() {
  gone_ = true;
  missed_ += pending_;
}

// The reader of a FIFO finds its end.
void Outlet::Commit() {
  if (fifo_) sink_.reset();
  if (file_) file_->Commit();
  file_.reset();
}

}  // namespace monolith
