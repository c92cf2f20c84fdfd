#include "core/tables/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/atomic_file.h"
#include "core/base/bytes.h"
#include "core/base/crc32c.h"
#include "core/base/error.h"
#include "core/base/snappy.h"

namespace monolith {
namespace {

constexpr size_t kBlock = 262144;                     // of the uncompressed stream
constexpr size_t kMaxRecord = size_t{256} << 20;      // far above any row: a length beyond it is damage
constexpr size_t kMaxBlock = kMaxRecord + (1 << 20);
constexpr size_t kReadAhead = size_t{1} << 20;

[[noreturn]] void FailIo(const std::string& path, const char* what) {
  throw Error(ErrorCode::kIo, path + ": " + what + ": " + std::strerror(errno));
}

}  // namespace

RecordFileWriter::RecordFileWriter(std::string path, Container container)
    : path_(std::move(path)), container_(container), fd_(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  if (fd_ < 0) throw Error(ErrorCode::kCannotCreate, path_ + ": cannot create: " + std::strerror(errno));
  buffer_.reserve(kBlock);
}

RecordFileWriter::~RecordFileWriter() { close(fd_); }

void RecordFileWriter::Write(std::string_view payload) {
  char header[12], footer[4];
  StoreLe<uint64_t>(header, payload.size());
  StoreLe(header + 8, MaskCrc32c(Crc32c(header, 8)));
  StoreLe(footer, MaskCrc32c(Crc32c(payload)));
  Unit(header, sizeof header);
  Unit(payload.data(), payload.size());
  Unit(footer, sizeof footer);
}

// A unit stays in one block unless it is larger than a block; it is then one of its own.
void RecordFileWriter::Unit(const char* p, size_t n) {
  if (buffer_.size() + n > kBlock) {
    Flush(buffer_);
    buffer_.clear();
  }
  if (n > kBlock) Flush({p, n});
  else buffer_.append(p, n);
}

void RecordFileWriter::Flush(std::string_view block) {
  if (block.empty()) return;
  if (container_ == Container::kPlain) return WriteAll(fd_, block.data(), block.size(), path_);
  SnappyCompress(block, &compressed_);
  char length[4];
  StoreBe32(length, static_cast<uint32_t>(compressed_.size()));
  compressed_.insert(0, length, 4);
  WriteAll(fd_, compressed_.data(), compressed_.size(), path_);
}

void RecordFileWriter::Finish() {
  Flush(buffer_);
  buffer_.clear();
}

void RecordFileWriter::Sync() {
  if (fsync(fd_) != 0) FailIo(path_, "cannot sync");
}

RecordFileReader::RecordFileReader(std::string path, Container container)
    : path_(std::move(path)), container_(container), fd_(open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (fd_ < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNoInput : ErrorCode::kIo;
    throw Error(code, path_ + ": cannot open: " + std::strerror(errno));
  }
  struct stat st;
  if (fstat(fd_, &st) != 0) FailIo(path_, "cannot read");
  file_size_ = static_cast<uint64_t>(st.st_size);
  posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

RecordFileReader::~RecordFileReader() { close(fd_); }

std::string RecordFileReader::Where() const { return path_ + ": at byte " + std::to_string(record_offset_); }

void RecordFileReader::Bad(const std::string& what) const {
  throw Error(ErrorCode::kBadData,
              Where() + (container_ == Container::kSnappyBlocks ? " of the uncompressed stream: " : ": ") + what);
}

size_t RecordFileReader::ReadFile(char* p, size_t n) {
  size_t done = 0;
  while (done < n) {
    const ssize_t got = read(fd_, p + done, n - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) FailIo(path_, "cannot read");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  file_offset_ += done;
  return done;
}

bool RecordFileReader::ReadBlock() {
  char length[4];
  const uint64_t at = file_offset_;
  const auto bad = [&](const std::string& what) {
    throw Error(ErrorCode::kBadData, path_ + ": at byte " + std::to_string(at) + ": " + what);
  };
  const size_t got = ReadFile(length, 4);
  if (got == 0) return false;
  if (got < 4) bad("the file ends inside the length of a block");
  const uint64_t n = LoadBe32(length);
  if (n > file_size_ - std::min(file_size_, file_offset_))
    bad("a block of " + std::to_string(n) + " bytes is longer than the rest of the file");
  compressed_.resize(n);
  if (ReadFile(compressed_.data(), n) < n) bad("the file ends inside a block");
  try {
    SnappyDecompress(compressed_, &block_, kMaxBlock);
  } catch (const Error& e) {
    bad(e.what());
  }
  buffer_.append(block_);
  return true;
}

bool RecordFileReader::Ensure(size_t n) {
  if (buffer_.size() - pos_ >= n) return true;
  buffer_.erase(0, pos_);
  stream_offset_ += pos_;
  pos_ = 0;
  while (buffer_.size() < n) {
    if (container_ == Container::kSnappyBlocks) {
      if (!ReadBlock()) return false;
      continue;
    }
    const size_t had = buffer_.size();
    const uint64_t rest = file_size_ - std::min(file_size_, file_offset_);
    const size_t want = std::min<uint64_t>(std::max(n - had, kReadAhead), rest);
    buffer_.resize(had + want);
    const size_t got = ReadFile(buffer_.data() + had, want);
    buffer_.resize(had + got);
    if (got == 0) return false;
  }
  return true;
}

bool RecordFileReader::Next(std::string_view* payload) {
  record_offset_ = stream_offset_ + pos_;
  if (!Ensure(12)) {
    if (buffer_.size() == pos_) return false;
    Bad("the file ends inside the header of a record");
  }
  const uint64_t n = LoadLe<uint64_t>(buffer_.data() + pos_);
  if (MaskCrc32c(Crc32c(buffer_.data() + pos_, 8)) != LoadLe<uint32_t>(buffer_.data() + pos_ + 8))
    Bad("the checksum of a record's length is wrong");
  if (n > kMaxRecord) Bad("a record of " + std::to_string(n) + " bytes is too long");
  if (!Ensure(12 + n + 4)) Bad("the file ends inside a record");
  const char* p = buffer_.data() + pos_ + 12;
  if (MaskCrc32c(Crc32c(p, n)) != LoadLe<uint32_t>(p + n)) Bad("the checksum of a record is wrong");
  *payload = {p, n};
  pos_ += 12 + n + 4;
  return true;
}

}  // namespace monolith
