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

constexpr size_t kBlock = 262144;                 // of the uncompressed stream; readers of the original system have room for no more
constexpr size_t kMaxRecord = size_t{256} << 20;  // far above any row: a length beyond it is damage
constexpr size_t kMaxBlock = kMaxRecord + (1 << 20);
constexpr size_t kReadAhead = size_t{1} << 20;
constexpr size_t kWrite = size_t{1} << 20;
constexpr size_t kWriteBack = size_t{8} << 20;  // the disk gets to work after so much, not at the end
constexpr size_t kFrame = 16;                   // of a record: 12 bytes in front, 4 behind
constexpr size_t kStoreHeader = 16;             // more than a stored block has in front of its content
constexpr int kStoredBlocks = 15;

[[noreturn]] void FailIo(const std::string& path, const char* what) {
  throw Error(ErrorCode::kIo, path + ": " + what + ": " + std::strerror(errno));
}

}  // namespace

RecordFileWriter::RecordFileWriter(std::string path, Container container)
    : path_(std::move(path)),
      container_(container),
      fd_(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)),
      capacity_(kBlock + kWrite) {
  if (fd_ < 0) throw Error(ErrorCode::kCannotCreate, path_ + ": cannot create: " + std::strerror(errno));
  buffer_.reset(new char[capacity_]);
}

RecordFileWriter::~RecordFileWriter() { close(fd_); }

char* RecordFileWriter::Reserve(size_t most) {
  // Blocks end with the record that fills them, so what is moved is a part of one.
  if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ + kFrame + most > capacity_) {
    capacity_ = end_ + kFrame + most;
    std::unique_ptr<char[]> larger(new char[capacity_]);
    std::memcpy(larger.get(), buffer_.get(), end_);
    buffer_ = std::move(larger);
  }
  return buffer_.get() + end_ + 12;
}

void RecordFileWriter::Commit(size_t n) {
  char* p = buffer_.get() + end_;
  StoreLe<uint64_t>(p, n);
  StoreLe(p + 8, MaskCrc32c(Crc32c(p, 8)));
  StoreLe(p + 12 + n, MaskCrc32c(Crc32c(p + 12, n)));
  Unit(12);
  Unit(n);
  Unit(4);
}

// A unit stays in one block unless it is larger than a block; it is then one of its own.
void RecordFileWriter::Unit(size_t n) {
  if (end_ - begin_ + n > kBlock) FlushBlock();
  end_ += n;
  if (n > kBlock) FlushBlock();
}

void RecordFileWriter::Write(std::string_view payload) {
  char* p = Reserve(payload.size());
  if (!payload.empty()) std::memcpy(p, payload.data(), payload.size());
  Commit(payload.size());
}

void RecordFileWriter::FlushBlock() {
  const std::string_view block(buffer_.get() + begin_, end_ - begin_);
  begin_ = end_;
  if (block.empty()) return;
  if (container_ == Container::kPlain) return Output(block.data(), block.size());
  if (stored_blocks_ > 0) {
    --stored_blocks_;
    Store(block);
  } else {
    SnappyCompress(block, &compressed_);
    // Where a block hardly shrinks, those after it are stored as they are: trying costs more than writing.
    if (compressed_.size() > block.size() / 8 * 7) stored_blocks_ = kStoredBlocks;
    compressed_.size() > kBlock && block.size() <= kBlock ? Store(block) : AppendCompressed();
  }
  if (output_.size() < kWrite) return;
  Output(output_.data(), output_.size());
  output_.clear();
}

// In two blocks where one would be longer than the buffer of the original system's readers.
void RecordFileWriter::Store(std::string_view block) {
  const size_t first = block.size() <= kBlock && block.size() + kStoreHeader > kBlock ? block.size() / 2 : block.size();
  for (const std::string_view part : {block.substr(0, first), block.substr(first)}) {
    if (part.empty()) continue;
    SnappyStore(part, &compressed_);
    AppendCompressed();
  }
}

void RecordFileWriter::AppendCompressed() {
  char length[4];
  StoreBe32(length, static_cast<uint32_t>(compressed_.size()));
  output_.append(length, 4);
  output_.append(compressed_);
}

void RecordFileWriter::Output(const char* p, size_t n) {
  WriteAll(fd_, p, n, path_);
  crc_ = Crc32c(p, n, crc_);
  bytes_ += n;
  if (bytes_ - started_ < kWriteBack) return;
  // A hint: where the file system knows nothing of it, Sync does all the work.
  sync_file_range(fd_, static_cast<off64_t>(started_), static_cast<off64_t>(bytes_ - started_), SYNC_FILE_RANGE_WRITE);
  started_ = bytes_;
}

void RecordFileWriter::Finish() {
  FlushBlock();
  Output(output_.data(), output_.size());
  output_.clear();
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
  crc_ = Crc32c(p, done, crc_);
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
    const uint64_t length = SnappyUncompressedLength(compressed_);
    if (length > kMaxBlock) throw Error(ErrorCode::kBadData, "bad snappy data: the block is longer than allowed");
    MakeRoom(length);
    SnappyDecompressTo(compressed_, buffer_.get() + end_);
    end_ += length;
  } catch (const Error& e) {
    bad(e.what());
  }
  return true;
}

void RecordFileReader::MakeRoom(size_t n) {
  if (capacity_ - end_ >= n) return;
  const size_t rest = end_ - pos_;
  if (capacity_ < rest + n) {
    capacity_ = std::max(2 * (rest + n), kReadAhead);
    std::unique_ptr<char[]> larger(new char[capacity_]);
    if (rest) std::memcpy(larger.get(), buffer_.get() + pos_, rest);
    buffer_ = std::move(larger);
  } else if (rest) {
    std::memmove(buffer_.get(), buffer_.get() + pos_, rest);
  }
  stream_offset_ += pos_;
  pos_ = 0;
  end_ = rest;
}

bool RecordFileReader::Ensure(size_t n) {
  while (end_ - pos_ < n) {
    if (container_ == Container::kSnappyBlocks) {
      if (!ReadBlock()) return false;
      continue;
    }
    const uint64_t rest = file_size_ - std::min(file_size_, file_offset_);
    const size_t want = std::min<uint64_t>(std::max(n - (end_ - pos_), kReadAhead), rest);
    MakeRoom(want);
    const size_t got = ReadFile(buffer_.get() + end_, want);
    end_ += got;
    if (got == 0) return false;
  }
  return true;
}

bool RecordFileReader::Next(std::string_view* payload) {
  record_offset_ = stream_offset_ + pos_;
  if (!Ensure(12)) {
    if (end_ == pos_) return false;
    Bad("the file ends inside the header of a record");
  }
  const uint64_t n = LoadLe<uint64_t>(buffer_.get() + pos_);
  if (MaskCrc32c(Crc32c(buffer_.get() + pos_, 8)) != LoadLe<uint32_t>(buffer_.get() + pos_ + 8))
    Bad("the checksum of a record's length is wrong");
  if (n > kMaxRecord) Bad("a record of " + std::to_string(n) + " bytes is too long");
  if (!Ensure(12 + n + 4)) Bad("the file ends inside a record");
  const char* p = buffer_.get() + pos_ + 12;
  if (MaskCrc32c(Crc32c(p, n)) != LoadLe<uint32_t>(p + n)) Bad("the checksum of a record is wrong");
  *payload = {p, n};
  pos_ += 12 + n + 4;
  return true;
}

}  // namespace monolith
