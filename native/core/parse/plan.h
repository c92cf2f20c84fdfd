// What RecordParser works out once, and the state of one call of Parse.
#pragma once

#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "core/parse/name_table.h"
#include "core/parse/parse.h"
#include "core/records/feature_value.h"
#include "core/records/line_id.h"

namespace monolith {

inline constexpr float kInvalidLabel = std::numeric_limits<float>::lowest();

struct ParsePlan {
  // What is to be done with a feature of a name.
  enum class Reserved : uint8_t { kNo, kLineId, kLabel, kWeight };
  struct Target {
    int sparse = -1, dense = -1;  // index into ParsedColumns
    Reserved reserved = Reserved::kNo;
  };
  struct Extra {
    const LineIdField* field;
    int place;  // in the LineIdReader
  };

  explicit ParsePlan(ParseSpec spec);

  ParseSpec spec;
  bool v1_to_v2 = false;
  std::array<int16_t, 1024> column_of_slot;
  NameTable names;
  std::vector<Target> targets;  // by number of the name
  int label = -1, weight = -1;            // dense columns of these names
  int label_name = -1, weight_name = -1;  // numbers of these names, of examples
  LineIdReader line_id;
  std::vector<Extra> extras;

 private:
  void AddName(const std::string& name, Target target);
};

struct RecordParser::Plan : ParsePlan {
  using ParsePlan::ParsePlan;
};

// One call of Parse. `row` counts rows of the output.
class ParseRun {
 public:
  ParseRun(const ParsePlan& plan, ParsedColumns* out);

  // Makes room for more rows, all zero.
  void AddRows(size_t n);

  void Instance(std::string_view record, size_t row);
  void Example(std::string_view record, size_t row);
  void ExampleBatch(std::string_view record);
  // After the last Instance or Example: ends the rows of all sparse columns.
  void CloseRows();

 private:
  // After values of `row` were added to a sparse column. Rows without values are left 0 until CloseRows.
  static void EndRow(SparseColumn* column, size_t row) {
    column->row_splits[row + 1] = static_cast<int64_t>(column->values.size());
  }

  void InstanceColumn(std::string_view column, size_t row);
  void InstanceSparse(std::string_view column, SparseColumn* to);
  void InstanceDense(std::string_view column, const std::string& name, DenseColumn* to, size_t row);

  void NamedFeature(std::string_view named_feature, size_t row);

  struct BatchColumn {
    std::string_view body;  // data() null for none
    bool shared = false;
  };
  void NoteBatchColumn(std::string_view column);
  template <class Visit>
  void ForEachRow(const BatchColumn& column, const std::string& name, size_t rows, Visit visit);
  void BatchTarget(int number, size_t first, size_t rows);
  void BatchSparse(const BatchColumn& column, const std::string& name, SparseColumn* to, size_t first, size_t rows);
  void BatchWeight(const BatchColumn& column, const std::string& name, size_t first, size_t rows);
  void RepeatRow(DenseColumn* column, size_t first, size_t rows);

  // Features of Example and ExampleBatch; `name` is for messages.
  void AppendSparse(const FeatureValue& value, const std::string& name, SparseColumn* to);
  void FillDense(const FeatureValue& value, const std::string& name, DenseColumn* to, size_t row);
  void ClearDense(DenseColumn* to, size_t row);
  void TakeLineId(const FeatureValue& value);  // bytes_list[0]
  void TakeLabels(const FeatureValue& value);

  bool Seen(int number, size_t row) const { return number >= 0 && seen_in_[number] == row + 1; }
  void FillLabel(size_t row, float missing);
  void FillExtra(size_t row);
  void AddLabels(std::string_view floats);
  void AppendV1(std::string_view fids, std::vector<int64_t>* to);
  void AppendV2(std::string_view fids, std::vector<int64_t>* to);

  const ParsePlan& plan_;
  ParsedColumns* out_;
  const char* origin_ = nullptr;
  LineIdReader line_id_;
  std::vector<float> labels_;
  float weight_ = 0;
  std::optional<FeatureValue> reserved_line_id_, reserved_label_;  // of the Example at hand
  std::vector<size_t> seen_in_;  // by target: row it was last seen in, plus one
  std::vector<size_t> begin_;    // by target: values of its sparse column before that row
  std::vector<BatchColumn> batch_columns_;
};

}  // namespace monolith
