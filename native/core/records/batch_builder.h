#pragma once

#include <deque>
#include <map>
#include <string>

#include "core/records/convert.h"
#include "core/records/example_view.h"

namespace monolith {

// Gathers Examples into an ExampleBatch. Columns stand in order of first appearance, the reserved ones last; a row that
// lacks a column has an empty feature there, one that lacks a line_id, label or weight an empty LineId, no floats, 0.
class BatchBuilder {
 public:
  explicit BatchBuilder(Pruning pruning) : pruning_(pruning) {}

  size_t rows() const { return rows_; }
  // About the size the batch has now.
  size_t bytes() const { return bytes_ + 2 * (columns_.size() + raw_.size()) * rows_; }
  // False when the row is of another data source than the rows before: the batch must be finished first.
  bool Takes(const ExampleView& row) const { return rows_ == 0 || row.data_source_key == data_source_key_; }
  void Add(const ExampleView& row);
  // Appends the ExampleBatch and starts a new one. Nothing for no rows.
  void Finish(std::string* out);

 private:
  struct Column {
    std::string name;
    uint64_t id = 0;
    size_t rows = 0;
    size_t last = 0;    // where the last cell begins
    std::string cells;  // fields of the NamedFeatureList
  };
  struct Columns {
    std::deque<Column> columns;  // in order of first appearance; their memory is kept from batch to batch
    size_t used = 0;
    std::map<std::string_view, size_t> by_name;
    size_t guess = 0;  // rows tend to have the same columns in the same order

    size_t size() const { return used; }
    Column* Find(const NamedFeatureView& feature);
    void Clear();
  };

  void AddCells(const std::vector<NamedFeatureView>& features, Columns* columns);
  void AddReserved(const RowFields& row);
  void WriteColumns(uint32_t number, Columns* columns, std::string* out);
  void WriteReserved(const char* name, Column* column, std::string_view missing, std::string* out);

  Pruning pruning_;
  size_t rows_ = 0, bytes_ = 0;
  uint32_t data_source_key_ = 0;
  Columns columns_, raw_;
  Column line_ids_, labels_, weights_;
};

}  // namespace monolith
