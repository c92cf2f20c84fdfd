// `--where EXPR`: a small typed expression over one record, compiled once into a flat program.
//
//   expr      := expr `or` expr | expr `and` expr | `not` expr | `(` expr `)` | condition       (binding from loose to tight)
//   condition := value OP literal                OP: >= > <= < == = != (or ge gt le lt eq neq)
//              | value [`not`] `in` ( `[` literal, … `]` | file )
//              | value `between` literal `and` literal            half-open: A <= value < B
//              | string (`startswith` | `endswith`) literal or `[` literal, … `]`
//              | list (`any` | `all` | `diff`) int or `[` int, … `]`     as sets: some of them, all of them, none of them
//              | bool | `has_slot` `(` N `)` | `has_fid` `(` N `)`
//   value     := a LineId field | `label` | `label` `[` N `]` | `instance_weight`
//              | `feature` `(` "name" [ `,` type ] `)`            of an Example; type: int64, float, double or bytes
//   literal   := integer (negative, 0x…) | float | "string" or 'string' with \n \t \r \0 \\ \" \' \xHH | true | false
//   file      := `@` path up to a blank or one of ( ) [ ] , | `@` "string"                   as ReadOperandFile
//
// Unset singular fields read as their default (sample_rate and instance_weight 1.0). A condition on a label that is not
// there is false. any, all and diff on an empty list give `keep_empty`, and so does a condition on a feature that is not
// there, of another type, empty, or of several values where the operator takes one. A feature without a type is taken for
// what it is compared with: bytes with a string, float when a float is among the numbers, else int64. Floats compare as
// float32; a negative operand of a fixed64 field stands for its two's complement.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/operators/predicate.h"
#include "core/operators/record_view.h"

namespace monolith {

class Where {
 public:
  // Tells `view` what it will ask. Throws Error with a caret under what is wrong: kUsage, or kNoInput for a file that
  // cannot be read.
  Where(std::string_view expression, bool keep_empty, RecordView* view);

  // Throws BadRecord when fids or features are asked for and cannot be read.
  bool Matches(RecordView& view) const {
    for (const Range& range : ranges_) {
      const int64_t v = view.line_id().Int(range.place);
      if (v < range.low || v > range.high) return false;
    }
    return steps_.empty() || MatchesSteps(view);
  }

 private:
  friend class WhereParser;

  enum class Op : uint8_t { kTest, kNot, kJumpIfFalse, kJumpIfTrue };
  struct Step {
    Op op;
    uint32_t arg;
  };

  // Integer ranges that hold of every record which matches are tried first.
  struct Range {
    int place;
    int64_t low, high;
  };
  bool MatchesSteps(RecordView& view) const;

  const bool keep_empty_;
  std::vector<Range> ranges_;
  std::vector<Predicate> predicates_;
  std::vector<Step> steps_;
};

}  // namespace monolith
