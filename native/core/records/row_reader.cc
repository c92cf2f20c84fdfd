#include "core/records/row_reader.h"

#include <cstring>

#include "core/base/error.h"

namespace monolith {
namespace {
constexpr size_t kCapacity = 256 << 10;
}  // namespace

RowReader::RowReader(std::shared_ptr<ByteSource> source, const RowOptions& options)
    : source_(std::move(source)), options_(options) {
  buffer_.resize(kCapacity);
}

// Looks for the end of the row in what is at hand.
bool RowReader::Find() const {
  if (found_) return true;
  const char* row = buffer_.data() + begin_;
  const size_t n = end_ - begin_;
  if (!options_.quote || scanned_ == 0) {
    const void* newline = std::memchr(row + scanned_, '\n', n - scanned_);
    const size_t length = newline ? static_cast<size_t>(static_cast<const char*>(newline) - row) : n;
    if (!options_.quote || (newline && !std::memchr(row, '"', length))) {
      scanned_ = length;
      return found_ = newline != nullptr;
    }
  }
  Scan();
  return found_;
}

void RowReader::Scan() const {
  const char* row = buffer_.data() + begin_;
  const size_t n = end_ - begin_;
  for (; scanned_ < n; ++scanned_) {
    const char c = row[scanned_];
    if (state_ == State::kInQuotes) {
      newlines_ += c == '\n';
      if (c == '"') state_ = State::kAfterQuote;
    } else if (c == '\n') {
      found_ = true;
      return;
    } else if (c == options_.separator) {
      state_ = State::kCellStart;
    } else if (c == '"') {
      if (state_ != State::kInCell) state_ = State::kInQuotes;
    } else {
      state_ = State::kInCell;
    }
  }
}

bool RowReader::Fill() {
  if (ended_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) {
    if (end_ > options_.max_row_bytes)
      throw Error(ErrorCode::kBadData, name() + ": byte " + std::to_string(position_) + ": line " +
                                           std::to_string(next_line_) + " goes on for more than " +
                                           std::to_string(options_.max_row_bytes) + " bytes" +
                                           (options_.quote ? "; is a quote not closed?" : ""));
    buffer_.resize(2 * end_);
  }
  const size_t got = source_->Read(buffer_.data() + end_, buffer_.size() - end_);
  end_ += got;
  ended_ = got == 0;
  return !ended_;
}

// The row at hand, or what is left at the end of the source. `closed` is false when a quote is open there.
bool RowReader::TakeRow(Record* record, bool* closed) {
  while (!Find())
    if (!Fill()) {
      if (begin_ == end_) return false;
      break;
    }
  const char* row = buffer_.data() + begin_;
  size_t length = found_ ? scanned_ : end_ - begin_;
  const size_t whole = length + (found_ ? 1 : 0);
  *closed = found_ || state_ != State::kInQuotes;
  line_ = next_line_;
  next_line_ += 1 + newlines_;
  if (length && row[length - 1] == '\r') --length;
  record->payload = {row, length};
  record->framed = false;
  record->offset = position_;
  record->end = position_ += whole;
  begin_ += whole;
  scanned_ = newlines_ = 0;
  state_ = State::kCellStart;
  found_ = false;
  return true;
}

void RowReader::Start() {
  started_ = true;
  while (end_ - begin_ < 3 && Fill()) {
  }
  if (end_ - begin_ >= 3 && std::memcmp(buffer_.data() + begin_, "\xef\xbb\xbf", 3) == 0) {
    begin_ += 3;
    position_ += 3;
  }
  if (!options_.header) return;
  Record record;
  bool closed = true;
  if (!TakeRow(&record, &closed)) return;
  header_ = record.payload;
  if (!closed) throw Error(ErrorCode::kBadData, name() + ": the quote of a cell in the header is not closed");
}

const std::string& RowReader::Header() {
  if (!started_) Start();
  return header_;
}

bool RowReader::Next(Record* record) {
  if (!started_) Start();
  bool closed = true;
  do {
    if (!TakeRow(record, &closed)) return false;
  } while (options_.skip_empty && record->payload.empty());
  if (!closed) throw BadRecord("line " + std::to_string(line_) + ": the quote of a cell is not closed");
  return true;
}

}  // namespace monolith
