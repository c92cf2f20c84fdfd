#include "core/operators/where.h"

#include "core/operators/where_parser.h"

namespace monolith {

Where::Where(std::string_view expression, bool keep_empty, RecordView* view) : keep_empty_(keep_empty) {
  WhereParser(expression, view, this).Run();
}

bool Where::MatchesSteps(RecordView& view) const {
  bool result = true;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step step = steps_[i];
    switch (step.op) {
      case Op::kTest: result = predicates_[step.arg].Holds(view, keep_empty_); break;
      case Op::kNot: result = !result; break;
      case Op::kJumpIfFalse: if (!result) i = step.arg - 1; break;
      case Op::kJumpIfTrue: if (result) i = step.arg - 1; break;
    }
  }
  return result;
}

}  // namespace monolith
