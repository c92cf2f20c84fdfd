#include "core/operators/add_action.h"

#include "core/base/error.h"

namespace monolith {

AddAction::AddAction(RecordType type, const std::string& condition, std::vector<int32_t> actions)
    : view_(type, "pb-label"),
      patch_(type),
      condition_(condition, false, &view_),
      actions_(std::move(actions)),
      place_(patch_.Want(*FindLineIdField("actions"))) {
  if (actions_.empty()) throw Error(ErrorCode::kUsage, "no action to add");
}

void AddAction::Process(const Record& record, RecordSink* next) {
  view_.Load(record.payload);
  if (!condition_.Matches(view_)) return next->Write(record);
  patch_.Load(record.payload);
  patch_.AppendToList(place_, actions_);
  patch_.Write(record, next);
}

}  // namespace monolith
