// `--where EXPR`: a small typed expression over one record, compiled once into a flat program.
//
//   expr      := expr `or` expr | expr `and` expr | `not` expr | `(` expr `)` | condition       (binding from loose to tight)
//   condition := value OP literal                OP: >= > <= < == = != (or ge gt le lt eq neq)
//              | value [`not`] `in` `[` literal, … `]`
//              | value `between` literal `and` literal            half-open: A <= value < B
//              | string (`startswith` | `endswith`) literal or `[` literal, … `]`
//              | list (`any` | `all` | `diff`) int or `[` int, … `]`     as sets: some of them, all of them, none of them
//              | bool | `has_slot` `(` N `)` | `has_fid` `(` N `)`
//   value     := a LineId field | `label` | `label` `[` N `]` | `instance_weight`
//   literal   := integer (negative, 0x…) | float | "string" or 'string' with \n \t \r \0 \\ \" \' \xHH | true | false
//
// Unset singular fields read as their default (sample_rate and instance_weight 1.0). A condition on a label that is not
// there is false. any, all and diff on an empty list give `keep_empty`. Floats compare as float32; a negative operand
// of a fixed64 field stands for its two's complement.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/operators/record_view.h"
#include "core/operators/relation.h"

namespace monolith {

class Where {
 public:
  // Tells `view` what it will ask. Throws Error(kUsage) with a caret under what is wrong.
  Where(std::string_view expression, bool keep_empty, RecordView* view);

  // Throws BadRecord when fids are asked for and cannot be read.
  bool Matches(RecordView& view) const;

 private:
  friend class WhereParser;

  enum class Source : uint8_t { kInt, kUint, kFloat, kString, kList, kLabel, kWeight, kHasSlot, kHasFid };
  struct Predicate {
    Source source;
    int place;  // slot in the LineIdReader, or index of the label
    uint64_t id = 0;  // of has_slot, has_fid
    std::optional<Relation> relation;  // but of has_slot and has_fid
  };
  enum class Op : uint8_t { kTest, kNot, kJumpIfFalse, kJumpIfTrue };
  struct Step {
    Op op;
    uint32_t arg;
  };

  bool Test(const Predicate& p, RecordView& view) const;

  const bool keep_empty_;
  std::vector<Predicate> predicates_;
  std::vector<Step> steps_;
};

}  // namespace monolith
