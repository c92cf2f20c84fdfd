// One condition on a record: a value, a comparison and its operands (spec 20, section 2), however it was written.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/operators/operands.h"
#include "core/operators/record_view.h"
#include "core/operators/relation.h"

namespace monolith {

// What a condition takes a named feature of an Example for; only the list of that type counts.
enum class FeatureType : uint8_t { kInt64, kFloat, kDouble, kBytes };

// `int64`, `float`, `double`, `bytes`; nothing for another word.
std::optional<FeatureType> ParseFeatureType(std::string_view name);

struct Predicate {
  enum class Source : uint8_t {
    kInt, kUint, kFloat, kDouble, kString, kList,  // fields of LineId
    kLabel, kWeight, kHasSlot, kHasFid, kFeature
  };
  Source source = Source::kInt;
  int place = 0;    // in the LineIdReader, of the named feature in the RecordView, or index of the label
  uint64_t id = 0;  // of has_slot, has_fid
  FeatureType type = FeatureType::kInt64;  // of a feature
  std::optional<Relation> relation = std::nullopt;  // but of has_slot and has_fid

  // `keep_empty` is the answer for an empty list of the LineId, and for a feature that is absent, of another type, empty, or
  // has several values where the operator takes one. Throws BadRecord for a part that cannot be read.
  bool Holds(RecordView& view, bool keep_empty) const;
};

// Nothing for a field that has no operators: a repeated one that is not of integers. A bool reads as an integer.
std::optional<Predicate::Source> SourceOf(const LineIdField& field);
// Of the operands; `op` tells lists of a feature from single values.
OperandType OperandTypeOf(Predicate::Source source, FeatureType type, RelOp op);

// A condition on one value as options give it (not as --where does).
struct ValueFilter {
  std::string field;         // of LineId; "" when it is on a feature
  std::string feature;       // name of a feature of an Example
  std::string feature_type;  // int64, float, double or bytes
  std::string op;            // as ParseRelOp
  std::vector<std::string> values;
  std::string values_file;  // "" for none; then `values` is empty, and the operator in or not-in
};

// Tells `view` what it will ask. Throws Error(kUsage, kNoInput) naming the option that is wrong.
Predicate MakePredicate(const ValueFilter& filter, RecordView* view);

}  // namespace monolith
