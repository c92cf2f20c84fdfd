#include "core/operators/add_label.h"

#include <cfloat>
#include <cmath>

#include "core/base/error.h"

namespace monolith {
namespace {

FidSet SetOf(const std::vector<int32_t>& actions) {
  std::vector<uint64_t> all;
  for (int32_t action : actions) all.push_back(static_cast<uint64_t>(int64_t{action}));
  return FidSet(std::move(all));
}

bool Meets(const FidSet& set, const std::vector<int64_t>& actions) {
  for (int64_t action : actions)
    if (set.Contains(static_cast<uint64_t>(action))) return true;
  return false;
}

// Within two units in the last place.
bool IsOne(float rate) { return std::fabs(rate - 1.0f) <= FLT_EPSILON * std::fabs(rate + 1.0f) * 2; }

}  // namespace

AddLabel::AddLabel(const AddLabelConfig& config)
    : LabelOperator(config.type),
      negative_value_(config.negative_value),
      new_sample_rate_(config.new_sample_rate),
      actions_(view_.WantLineId(*FindLineIdField("actions"))),
      sample_rate_(patch_.Want(*FindLineIdField("sample_rate"))),
      random_(config.seed) {
  for (const TaskLabel& task : config.tasks) {
    const std::string mistake = MistakeIn(task);
    if (!mistake.empty()) throw Error(ErrorCode::kUsage, mistake);
    tasks_.push_back({SetOf(task.positive), SetOf(task.negative), task.rate, IsOne(task.rate)});
  }
}

void AddLabel::Relabel(std::vector<float>* labels) {
  if (!labels->empty() && labels->front() <= 0) labels->front() = kInvalidLabel;
  const std::vector<int64_t>& actions = view_.line_id().List(actions_);
  for (const Task& task : tasks_) labels->push_back(LabelOf(task, actions));
  patch_.SetFloat(sample_rate_, new_sample_rate_);
}

float AddLabel::LabelOf(const Task& task, const std::vector<int64_t>& actions) {
  if (Meets(task.positive, actions)) return 1.0f;
  if (!task.negative.empty() && !Meets(task.negative, actions)) return kInvalidLabel;
  return task.every || random_.UniformFloat() < task.rate ? negative_value_ : kInvalidLabel;
}

}  // namespace monolith
