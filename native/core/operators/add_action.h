// Appends actions to line_id.actions where a condition holds (spec 20, section 7); other records pass as they came.
#pragma once

#include <string>
#include <vector>

#include "core/operators/operator.h"
#include "core/operators/record_patch.h"
#include "core/operators/record_view.h"
#include "core/operators/where.h"

namespace monolith {

class AddAction : public Operator {
 public:
  // `condition` as --where; `actions` are appended in their order, those that are there already once more. Throws
  // Error(kUsage) for a mistake in the condition, with a caret, for no actions, and for example_batch.
  AddAction(RecordType type, const std::string& condition, std::vector<int32_t> actions);

  const char* name() const override { return "add_action"; }
  void Process(const Record& record, RecordSink* next) override;

 private:
  RecordView view_;
  RecordPatch patch_;
  const Where condition_;
  const std::vector<int32_t> actions_;
  const int place_;
};

}  // namespace monolith
