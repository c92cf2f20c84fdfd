// Rows of a delimited text: lines, or with quotes more than one line where a quoted cell spans them.
#pragma once

#include <memory>
#include <string>

#include "core/io/record_reader.h"

namespace monolith {

struct RowOptions {
  bool quote = false;    // a cell that begins with '"' ends with one; inside, "" stands for one
  char separator = ',';  // between cells; counts only with quote
  bool header = false;   // the first row is no record
  bool skip_empty = true;
  size_t max_row_bytes = size_t{64} << 20;
};

// A record is a row without the end of its line. The bytes EF BB BF at the start of the source are left out.
class RowReader : public RecordReader {
 public:
  RowReader(std::shared_ptr<ByteSource> source, const RowOptions& options);

  bool Next(Record* record) override;
  bool Buffered() const override { return started_ && Find(); }
  const std::string& name() const override { return source_->name(); }
  uint64_t offset() const override { return position_; }
  void Cancel() override { source_->Cancel(); }

  // The first row, where the options say that there is a header; "" for an empty source.
  const std::string& Header();
  // Number of the line, from 1, that the row last read begins on.
  uint64_t line() const { return line_; }

 private:
  enum class State : uint8_t { kCellStart, kInCell, kInQuotes, kAfterQuote };

  void Start();
  bool Find() const;
  void Scan() const;
  bool Fill();
  bool TakeRow(Record* record, bool* closed);

  std::shared_ptr<ByteSource> source_;
  const RowOptions options_;
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;  // of the bytes in buffer_ that were not handed out
  uint64_t position_ = 0;       // of begin_ in the source
  bool started_ = false, ended_ = false;
  std::string header_;
  uint64_t line_ = 0, next_line_ = 1;
  // How far the row at begin_ was looked through.
  mutable size_t scanned_ = 0, newlines_ = 0;  // newlines_: inside quotes
  mutable State state_ = State::kCellStart;
  mutable bool found_ = false;  // its end is at begin_ + scanned_
};

}  // namespace monolith
