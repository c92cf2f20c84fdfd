#include "core/operators/where.h"

#include "core/operators/where_parser.h"

namespace monolith {

Where::Where(std::string_view expression, bool keep_empty, RecordView* view) : keep_empty_(keep_empty) {
  WhereParser(expression, view, this).Run();
}

bool Where::Matches(RecordView& view) const {
  bool result = true;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step step = steps_[i];
    switch (step.op) {
      case Op::kTest: {
        const Predicate& p = predicates_[step.arg];
        // The most common kind without a call.
        result = p.source == Source::kInt ? p.relation->Int(view.line_id().Int(p.place)) : Test(p, view);
        break;
      }
      case Op::kNot: result = !result; break;
      case Op::kJumpIfFalse: if (!result) i = step.arg - 1; break;
      case Op::kJumpIfTrue: if (result) i = step.arg - 1; break;
    }
  }
  return result;
}

bool Where::Test(const Predicate& p, RecordView& view) const {
  const LineIdReader& line_id = view.line_id();
  switch (p.source) {
    case Source::kInt: break;
    case Source::kUint: return p.relation->Uint(line_id.Uint(p.place));
    case Source::kFloat: return p.relation->Float(line_id.Float(p.place));
    case Source::kString: return p.relation->String(line_id.String(p.place));
    case Source::kList: {
      const std::vector<int64_t>& list = line_id.List(p.place);
      return list.empty() ? keep_empty_ : p.relation->List(list);
    }
    case Source::kLabel: {
      const std::vector<float>& labels = view.labels();
      return static_cast<size_t>(p.place) < labels.size() && p.relation->Float(labels[p.place]);
    }
    case Source::kWeight: return p.relation->Float(view.weight());
    case Source::kHasSlot: return view.HasSlot(static_cast<uint32_t>(p.id));
    case Source::kHasFid: return view.HasFid(p.id);
  }
  return false;
}

}  // namespace monolith
