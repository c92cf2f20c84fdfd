// Rows of a delimited text → Instance or Example, by a schema.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/operators/operator.h"
#include "core/records/csv_schema.h"
#include "core/records/row_reader.h"

namespace monolith {

RowOptions RowOptionsOf(const CsvSchema& schema);

class CsvOperator : public Operator {
 public:
  // Throws Error(kConfig) for a schema that cannot be right.
  explicit CsvOperator(const CsvSchema& schema);
  ~CsvOperator() override;
  const char* name() const override { return "csv"; }

  // Before the rows of a source: finds the columns that go by name in its header, and keeps the reader to tell line
  // numbers in messages. Throws Error(kBadData) when the header lacks one.
  void Begin(std::shared_ptr<RowReader> reader);

  // The same for typed rows, which have these columns.
  void Begin(const std::vector<std::string>& names, const std::string& source);

  // Takes one row; throws BadRecord naming line, column and text.
  void Process(const Record& record, RecordSink* next) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace monolith
