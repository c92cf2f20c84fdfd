// EntryDump messages (spec 30, 1.1 and 1.6) as they stand, read without the config of their table.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace monolith {

struct OptimizerField {
  uint32_t number;
  const char* name;
  bool repeated;  // one for each dim
  bool integer;
};

struct OptimizerKind {
  uint32_t number;  // in SingleOptimizerDump
  const char* name;
  std::vector<OptimizerField> fields;
};

// The kind of optimizer whose state a checkpoint names so; null when there is none.
const OptimizerKind* FindOptimizerKind(std::string_view name);

// A row of a checkpoint. To be used again for the next one: nothing is allocated then.
struct DumpedEntry {
  struct Value {
    const OptimizerField* field;
    size_t first, count;  // in `state`; unused by an integer
    int64_t integer;
  };
  struct Segment {
    const OptimizerKind* kind;  // null: the dump names no optimizer
    size_t first, count;        // in `values`
  };

  int64_t key = 0;
  int64_t timestamp = 0;
  std::vector<float> weights, state;
  std::vector<Segment> segments;
  std::vector<Value> values;

  // Throws BadRecord when the message is no entry.
  void Parse(std::string_view message);
  bool Finite() const;

 private:
  bool ParseUsual(std::string_view message, std::string_view* opt);
  void ParseState(std::string_view opt);
  void ParseSegment(std::string_view dump);
  bool ParseUsualFields(const OptimizerKind& kind, std::string_view body);
};

// What all rows of one table have in common.
struct EntryShape {
  struct Segment {
    std::string optimizer;  // "none": an optimizer without state in checkpoints
    int dim;                // -1: cannot be told from the checkpoint
    bool operator==(const Segment& o) const { return optimizer == o.optimizer && dim == o.dim; }
  };
  size_t dim = 0;
  std::vector<Segment> segments;
  bool operator==(const EntryShape& o) const { return dim == o.dim && segments == o.segments; }

  // "dim 3: adagrad 2 + sgd 1"
  std::string Describe() const;
};

// Throws BadRecord when the state cannot belong to the weights.
EntryShape ShapeOf(const DumpedEntry& entry);

// Whether rows are alike, one after the other: rows of a table nearly always are, and then nothing is allocated.
class ShapeCheck {
 public:
  // Throws BadRecord when the entry's shape is not that of the first one, or cannot be.
  void Check(const DumpedEntry& entry);
  const EntryShape& shape() const { return shape_; }

 private:
  std::vector<size_t> layout_, found_;  // counts and kinds, one after the other
  EntryShape shape_;
};

// Appends the row as a JSON object and a newline.
void AppendJsonLine(const std::string& table, const DumpedEntry& entry, std::string* out);

}  // namespace monolith
