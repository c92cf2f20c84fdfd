// Rows of columns in memory, as columnar files give them batch by batch.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/record_reader.h"

namespace monolith {

// One column of a batch, laid out as Apache Arrow has it.
struct ColumnView {
  enum class Kind { kInt64, kUint64, kFloat, kBytes };
  Kind kind = Kind::kInt64;
  const uint8_t* valid = nullptr;  // a bit for each value; nullptr: all are there
  const char* values = nullptr;    // of kBytes: the offsets (int64) of each value in `data`, and one more
  const char* data = nullptr;      // of kBytes
  size_t offset = 0;               // of the first value in all of these
  const int64_t* rows = nullptr;   // where the values of each row begin, and one more; nullptr: one value a row
};

struct ColumnBatch {
  size_t rows = 0;
  std::vector<ColumnView> columns;
};

// Gives rows as TypedRow reads them. Values that are null count as not there. Offsets count rows.
class ColumnReader : public RecordReader {
 public:
  // Fills the next batch, whose memory stays until the next call; false at the end. Throws Error.
  using Next_ = std::function<bool(ColumnBatch*)>;

  ColumnReader(std::string name, Next_ next) : name_(std::move(name)), next_(std::move(next)) {}

  bool Next(Record* record) override;
  bool Buffered() const override { return row_ < batch_.rows; }
  const std::string& name() const override { return name_; }
  uint64_t offset() const override { return read_; }
  std::string Place(uint64_t offset) const override { return "row " + std::to_string(offset + 1); }

 private:
  void AppendColumn(const ColumnView& column);
  void AppendValue(const ColumnView& column, size_t i);

  const std::string name_;
  Next_ next_;
  ColumnBatch batch_;
  size_t row_ = 0;
  uint64_t read_ = 0;
  std::string out_;
};

}  // namespace monolith
