// Examples → columns in memory, by a schema read backwards: what columnar files are written from.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/operators/operator.h"
#include "core/records/csv_schema.h"
#include "core/records/example_view.h"
#include "core/records/line_id.h"

namespace monolith {

struct ColumnPlan {
  enum class Kind { kInt64, kUint64, kFloat, kBytes };
  CsvTarget target = CsvTarget::kFloat;
  std::string name;        // of the feature or the LineId field
  bool whole_fid = false;  // of kFid; else its signature, of fids under `slot`
  int version = 2;
  uint64_t slot = 0;
  bool list = true;    // else at most one value; none is null
  size_t element = 0;  // of kLabel without `list`: which label, from 0
  Kind kind = Kind::kFloat;
};

// Rows gathered so far, laid out as Apache Arrow has them, but for the offsets of a first row.
struct ColumnData {
  std::string values;         // fixed width, or the bytes of all texts
  std::string value_offsets;  // of texts: int64, where each begins, and the end
  std::string row_offsets;    // of lists: int64, which value each row begins with, and the end
  std::string valid;          // without lists: a bit for each row
  uint64_t count = 0;         // values
};

class ColumnWriter : public Operator {
 public:
  // Takes `rows` rows in all columns; they are gone when it returns.
  using Take = std::function<void(size_t rows, const std::vector<ColumnData>&)>;

  // Throws Error(kConfig) for a LineId field that does not exist. A batch has at most `rows` rows and about `bytes`
  // bytes.
  ColumnWriter(std::vector<ColumnPlan> plan, size_t rows, size_t bytes, Take take);

  const char* name() const override { return "columns"; }
  // Throws BadRecord for a record that does not fit the plan.
  void Process(const Record& record, RecordSink* next) override;
  void Finish(RecordSink* next) override;
  bool HoldsBack() const override { return rows_ > 0; }

  const std::vector<ColumnPlan>& plan() const { return plan_; }

 private:
  // The values of one column in the record at hand.
  struct Cell {
    std::string values;
    std::vector<uint64_t> ends;  // of texts
    size_t count = 0;
    void Clear() {
      values.clear();
      ends.clear();
      count = 0;
    }
  };

  void ReadFeature(const ColumnPlan& plan, std::string_view feature, Cell* cell);
  void ReadList(const ColumnPlan& plan, uint32_t member, std::string_view list, Cell* cell);
  void ReadLineId(std::string_view line_id);
  void ReadLabels(std::string_view packed);
  void AddFid(const ColumnPlan& plan, uint64_t fid, Cell* cell);
  template <class T>
  static void Add(Cell* cell, T value);
  static void AddBytes(Cell* cell, std::string_view value);
  void Append(size_t column);
  void Emit();

  std::vector<ColumnPlan> plan_;
  const size_t max_rows_, max_bytes_;
  Take take_;
  std::unordered_map<std::string_view, size_t> features_;
  std::unordered_map<uint32_t, std::pair<const LineIdField*, size_t>> line_id_;
  Scratch scratch_;
  ExampleView view_;
  std::vector<Cell> cells_;
  std::vector<std::string_view> found_;  // the last feature of each column's name
  std::vector<ColumnData> data_;
  size_t rows_ = 0, bytes_ = 0;
};

}  // namespace monolith
