#pragma once

#include <vector>

#include "core/records/convert.h"
#include "core/records/instance_builder.h"

namespace monolith {

// The rows of one ExampleBatch.
class BatchRows {
 public:
  explicit BatchRows(Pruning pruning) : pruning_(pruning) {}

  // Takes the batch apart and checks all of it, so that every row can be made. Throws BadRecord naming the column.
  void Read(std::string_view batch);
  size_t size() const { return rows_; }

  // Append one row. Views of Read() must still be valid.
  void WriteExample(size_t row, std::string* out);
  void WriteInstance(size_t row, std::string* out);

  struct Column {
    std::string_view name;
    bool shared = false;
    uint64_t id = 0;
    Reserved reserved = Reserved::kNone;
    size_t first = 0, count = 0;  // in cells_
  };
  const std::vector<Column>& columns() const { return columns_; }
  // The feature of a column in a row.
  std::string_view Cell(const Column& column, size_t row) const {
    return cells_[column.first + (column.shared ? 0 : row)];
  }
  // What the reserved columns say of a row; valid until the next call.
  const RowFields& ReadRowFields(size_t row);
  uint32_t data_source_key() const { return data_source_key_; }

 private:
  Column ReadColumn(std::string_view bytes);
  void CheckColumn(const Column& column, bool raw);

  Pruning pruning_;
  Scratch scratch_, row_scratch_;
  std::vector<Column> columns_, raw_columns_;
  std::vector<std::string_view> cells_;
  size_t rows_ = 0;
  uint32_t data_source_key_ = 0;
  RowFields row_;
  InstanceBuilder builder_;
};

}  // namespace monolith
