#include "core/tables/row_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/base/atomic_file.h"
#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith {
namespace {

constexpr size_t kHeader = 4;

std::string TemporaryDirectory() {
  const char* named = std::getenv("TMPDIR");
  return named && *named ? named : "/tmp";
}

}  // namespace

RowSpool::RowSpool(std::string directory, size_t memory)
    : directory_(directory.empty() ? TemporaryDirectory() : std::move(directory)), memory_(memory) {}

RowSpool::~RowSpool() {
  if (fd_ >= 0) close(fd_);
}

void RowSpool::Append(size_t lane, std::string_view record) {
  if (lane >= lanes_.size()) lanes_.resize(lane + 1);
  Lane& l = lanes_[lane];
  char length[kHeader];
  StoreLe(length, static_cast<uint32_t>(record.size()));
  l.buffer.append(length, kHeader);
  l.buffer.append(record);
  l.bytes += kHeader + record.size();
  ++l.records;
  held_ += kHeader + record.size();
  if (held_ > memory_) Spill();
}

// All lanes at once: chunks are then as long as the memory allows.
void RowSpool::Spill() {
  if (fd_ < 0) Open();
  for (Lane& l : lanes_) {
    if (l.buffer.empty()) continue;
    WriteAll(fd_, l.buffer.data(), l.buffer.size(), directory_ + ": temporary file");
    l.chunks.push_back({end_, l.buffer.size()});
    end_ += l.buffer.size();
    std::string().swap(l.buffer);  // a lane that was long once must not keep its memory
  }
  held_ = 0;
}

void RowSpool::Open() {
  fd_ = open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd_ < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    std::string name = directory_ + "/table-rows.XXXXXX";
    fd_ = mkostemp(name.data(), O_CLOEXEC);
    if (fd_ >= 0) unlink(name.c_str());
  }
  if (fd_ < 0) throw Error(ErrorCode::kCannotCreate, directory_ + ": cannot create a temporary file: " + std::strerror(errno));
}

bool RowSpool::Reader::Load() {
  if (lane_ >= spool_.lanes_.size()) return false;
  const Lane& lane = spool_.lanes_[lane_];
  if (chunk_ == lane.chunks.size()) {
    if (buffer_read_) return false;
    buffer_read_ = true;
    rest_ = lane.buffer;
    return !rest_.empty();
  }
  const Chunk chunk = lane.chunks[chunk_++];
  text_.resize(chunk.size);
  for (size_t done = 0; done < chunk.size;) {
    const ssize_t got = pread(spool_.fd_, text_.data() + done, chunk.size - done, static_cast<off_t>(chunk.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw Error(ErrorCode::kIo, spool_.directory_ + ": cannot read the temporary file: " + std::strerror(got ? errno : EIO));
    done += static_cast<size_t>(got);
  }
  rest_ = text_;
  return true;
}

bool RowSpool::Reader::Next(std::string_view* record) {
  if (rest_.empty() && !Load()) return false;
  const size_t n = LoadLe<uint32_t>(rest_.data());
  *record = rest_.substr(kHeader, n);
  rest_.remove_prefix(kHeader + n);
  return true;
}

}  // namespace monolith
