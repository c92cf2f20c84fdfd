// TFRecord files as checkpoints have them: plain, or inside a stream of snappy blocks (spec 30, 13.2).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace monolith {

enum class Container { kPlain, kSnappyBlocks };

// Writes records to a new file. Nothing is renamed here: see checkpoint_files.h.
class RecordFileWriter {
 public:
  // Throws Error(kCannotCreate).
  RecordFileWriter(std::string path, Container container);
  ~RecordFileWriter();
  RecordFileWriter(const RecordFileWriter&) = delete;
  RecordFileWriter& operator=(const RecordFileWriter&) = delete;

  // Room for a payload of at most `most` bytes; Commit says how long it became.
  char* Reserve(size_t most);
  void Commit(size_t n);
  void Write(std::string_view payload);
  // Writes what is buffered; after it only Sync may follow. Both throw Error(kIo).
  void Finish();
  void Sync();

  // What is in the file, after Finish.
  uint64_t bytes() const { return bytes_; }
  uint32_t crc32c() const { return crc_; }

 private:
  void Unit(size_t n);
  void FlushBlock();
  void Store(std::string_view block);
  void AppendCompressed();
  void Output(const char* p, size_t n);

  std::string path_;
  Container container_;
  int fd_;
  std::unique_ptr<char[]> buffer_;  // of the uncompressed stream
  size_t capacity_, begin_ = 0, end_ = 0;  // the open block is [begin_, end_)
  std::string compressed_, output_;
  int stored_blocks_ = 0;  // how many more are not worth compressing
  uint64_t bytes_ = 0, started_ = 0;
  uint32_t crc_ = 0;
};

class RecordFileReader {
 public:
  // Throws Error(kNoInput) or Error(kIo).
  RecordFileReader(std::string path, Container container);
  ~RecordFileReader();
  RecordFileReader(const RecordFileReader&) = delete;
  RecordFileReader& operator=(const RecordFileReader&) = delete;

  // The next record, valid until the call after; false at the clean end. Throws Error(kBadData) naming file and offset.
  bool Next(std::string_view* payload);
  // "<path>: at byte N", N being where the last record began (in the uncompressed stream).
  std::string Where() const;

  // Of what was read so far; after Next returned false, of the whole file.
  uint64_t bytes() const { return file_offset_; }
  uint32_t crc32c() const { return crc_; }

 private:
  bool Ensure(size_t n);  // at least n bytes from pos_ on; false at the end of the file
  bool ReadBlock();
  size_t ReadFile(char* p, size_t n);
  void MakeRoom(size_t n);  // behind end_
  [[noreturn]] void Bad(const std::string& what) const;

  std::string path_;
  Container container_;
  int fd_;
  uint64_t file_size_ = 0, file_offset_ = 0;
  std::unique_ptr<char[]> buffer_;  // of the uncompressed stream
  size_t capacity_ = 0, pos_ = 0, end_ = 0;
  std::string compressed_;
  uint64_t stream_offset_ = 0;  // of buffer_[0]
  uint64_t record_offset_ = 0;
  uint32_t crc_ = 0;
};

}  // namespace monolith
