// A batch of serialized records → columns: ragged fids, dense matrices, fields of the LineId. No TensorFlow in here.
//
// What is delivered for which field, and what a missing one becomes, is documented at RecordParser::Parse. All output
// memory is reused when the same ParsedColumns is given again.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/record.h"
#include "core/io/record_stream.h"

namespace monolith {

enum class ColumnType { kFloat, kInt64, kString };

// What is wanted of each record. Names are unique over all groups.
struct ParseSpec {
  struct Slot {
    int slot = 0;      // 0..1023
    std::string name;  // of the output column
  };
  struct Dense {
    std::string name;  // `label` and `instance_weight` have sources of their own
    int64_t width = 1;
    ColumnType type = ColumnType::kFloat;
  };
  struct Extra {
    std::string name;  // a field of LineId; its type follows from the field
    int64_t width = 1;
  };

  RecordType type = RecordType::kInstance;
  std::vector<Slot> fidv1;         // instance: v1 fids of the flat list by slot
  std::vector<std::string> fidv2;  // instance: columns with v2 fids; example, example_batch: sparse features
  std::vector<Dense> dense;
  std::vector<Extra> extra;
};

// Fids of one feature: those of row i are values[row_splits[i]] … values[row_splits[i+1]-1].
struct SparseColumn {
  std::string name;
  std::vector<int64_t> row_splits;  // rows+1
  std::vector<int64_t> values;
};

// A [rows, width] matrix, row after row, in the vector of its type; the other two are empty.
struct DenseColumn {
  std::string name;
  ColumnType type = ColumnType::kFloat;
  int64_t width = 1;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;  // into the records that were parsed, or into ParsedColumns::storage
};

struct ParsedColumns {
  size_t rows = 0;  // records; for example_batch the rows of all of them
  std::vector<SparseColumn> sparse;  // fidv1 in order, then fidv2 in order
  std::vector<DenseColumn> dense;    // in order
  std::vector<DenseColumn> extra;    // in order
  std::deque<std::string> storage;   // bytes that stood in pieces in their record
};

class RecordParser {
 public:
  // Throws Error(kConfig) naming the feature when the spec cannot be right: a name twice, a width below 1, a slot out of
  // range, an unknown or unsupported LineId field ("… is not in line id"), label or instance_weight not float, a string
  // wider than 1 in examples, slots wanted of something else than instances.
  explicit RecordParser(ParseSpec spec);
  ~RecordParser();
  RecordParser(RecordParser&&) noexcept;

  const ParseSpec& spec() const;
  // Types and widths of the columns, without rows: what Parse would fill.
  ParsedColumns Layout() const;

  // Parses all records into `out`. Throws BadRecord naming the place of the record and the feature; `out` is of no use then.
  // May be called by many threads at once, each with an `out` of its own.
  //
  // Instance. v1 fids stay v1 unless a v2 feature is wanted too, then they are converted. A v2 column is `fid`, then all
  // of `fid_list`; one that comes twice is concatenated. Dense: the values when there are exactly `width` of them, else
  // zeros; a float column may be quantised (spec 5.7), whose length must be right; the last column of a name wins.
  // label: the first `width`, rest 0. instance_weight: the value or 1.0, in column 0.
  //
  // Example. Fids become v2. Floats and doubles of width 1: the first value, or 1.17549435e-38 when the list is empty;
  // wider: the first ones, rest 0. int64 and bytes of width 1 must have a value. A list of another kind than wanted is
  // an error; lists of lists, single values and unset features count as missing. The last feature of a name wins.
  // `__LINE_ID__` and `__LABEL__` features replace the fields. label: missing ones are INVALID_LABEL (lowest float32).
  // instance_weight: the field if > 0, else 1.0; a feature of that name comes first.
  //
  // ExampleBatch. As Example, columns; SHARED ones are repeated for all rows. label from `__LABEL__`, missing ones are 0;
  // instance_weight from the column if > 0, else 1.0; LineId from `__LINE_ID__`, without such a column an empty one.
  //
  // extra: repeated fields give the first `width`, rest 0; single ones stand in column 0, unset ones as their default.
  void Parse(const RecordBatch& batch, ParsedColumns* out) const;
  void Parse(const std::string_view* records, size_t n, ParsedColumns* out) const;
  // Throws BadRecord, without the place, for a record that Parse would refuse.
  void Check(std::string_view record, ParsedColumns* scratch) const;

 private:
  void ParseEach(const std::string_view* records, size_t n, ParsedColumns* out, size_t* at) const;

  struct Plan;
  std::unique_ptr<const Plan> plan_;
};

}  // namespace monolith
