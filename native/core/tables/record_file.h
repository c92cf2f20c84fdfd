// TFRecord files as checkpoints have them: plain, or inside a stream of snappy blocks (spec 30, 13.2).
#pragma once

#include <cstdint>
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

  void Write(std::string_view payload);
  // Writes what is buffered; after it only Sync may follow. Both throw Error(kIo).
  void Finish();
  void Sync();

 private:
  void Unit(const char* p, size_t n);
  void Flush(std::string_view block);

  std::string path_;
  Container container_;
  int fd_;
  std::string buffer_, compressed_;
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

 private:
  bool Ensure(size_t n);  // at least n bytes from pos_ on; false at the end of the file
  bool ReadBlock();
  size_t ReadFile(char* p, size_t n);
  [[noreturn]] void Bad(const std::string& what) const;

  std::string path_;
  Container container_;
  int fd_;
  uint64_t file_size_ = 0, file_offset_ = 0;
  std::string buffer_, compressed_, block_;
  size_t pos_ = 0;
  uint64_t stream_offset_ = 0;  // of buffer_[0]
  uint64_t record_offset_ = 0;
};

}  // namespace monolith
