#include "core/io/bad_records.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/stop.h"
#include "core/io/fd_sink.h"

namespace monolith {
namespace {

constexpr uint64_t kWarnings = 10;
constexpr size_t kPiece = 1 << 20;

std::unique_ptr<RecordSink> OpenSetAside(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0)
    throw Error(ErrorCode::kCannotCreate, path + ": cannot open for bad records: " + std::strerror(errno));
  return std::make_unique<FdSink>(fd, path, true);
}

}  // namespace

OnBadRecord ParseOnBadRecord(const std::string& text) {
  return text == "fail" ? OnBadRecord::kFail : text == "skip" ? OnBadRecord::kSkip : OnBadRecord::kSetAside;
}

BadRecords::BadRecords(OnBadRecord what, const std::string& path, Warn warn) : what_(what), warn_(std::move(warn)) {
  if (what == OnBadRecord::kSetAside) set_aside_ = OpenSetAside(path);
}

BadRecords::~BadRecords() = default;

void BadRecords::Leave(const Record& record, const std::string& message) {
  if (set_aside_) {
    set_aside_->Write(record);
    set_aside_->Flush();
  }
  Count(message);
}

void BadRecords::LeaveRest(RecordReader* reader, const Error& error) {
  Count(std::string(error.what()) + "; the rest of this source is left out");
  if (!set_aside_) return;
  std::string piece(kPiece, '\0');
  try {
    while (const size_t n = reader->ReadRest(piece.data(), piece.size())) {
      Record record;
      record.payload = {piece.data(), n};
      set_aside_->Write(record);
      set_aside_->Flush();
    }
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData) throw;  // the source itself is corrupt from here on
  } catch (const Interrupted&) {
  }
}

void BadRecords::Count(const std::string& message) {
  const uint64_t n = count_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (warn_ && n <= kWarnings) warn_(n == kWarnings ? message + " (further ones are only counted)" : message);
}

}  // namespace monolith
