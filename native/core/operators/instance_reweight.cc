#include "core/operators/instance_reweight.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.h"

namespace monolith {
namespace {

uint64_t Key(int64_t action) { return static_cast<uint64_t>(action); }

}  // namespace

InstanceReweight::InstanceReweight(const InstanceReweightConfig& config)
    : multiply_(config.method == InstanceReweightConfig::Method::kMultiply),
      view_(config.type, "pb-reweight"),
      patch_(config.type),
      actions_(view_.WantLineId(*FindLineIdField("actions"))),
      pre_actions_(view_.WantLineId(*FindLineIdField("pre_actions"))) {
  view_.WantLabels();
  if (config.priority.empty()) throw Error(ErrorCode::kUsage, "no priorities of actions");
  if (config.weights.empty()) throw Error(ErrorCode::kUsage, "no weights of actions");
  std::vector<uint64_t> all;
  for (int32_t action : config.priority) all.push_back(Key(action));
  for (const ActionWeight& w : config.weights) all.push_back(Key(w.action));
  set_ = FidSet(std::move(all));
  known_.resize(set_.size());
  for (size_t i = 0; i < config.priority.size(); ++i)
    known_[set_.Find(Key(config.priority[i]))].priority = static_cast<int64_t>(i) + 1;
  for (const ActionWeight& w : config.weights) {
    if (w.weight < 0 || w.weight > kMostCopies)
      throw Error(ErrorCode::kUsage, "weight " + std::to_string(w.weight) + " of action " + std::to_string(w.action) +
                                         " is not in 0.." + std::to_string(kMostCopies));
    Action& action = known_[set_.Find(Key(w.action))];
    action.weighted = true;
    action.weight = w.weight;
    action.label = w.label;
  }
}

const InstanceReweight::Action* InstanceReweight::Find(int64_t action) const {
  const size_t found = set_.Find(Key(action));
  return found == FidSet::kAbsent ? nullptr : &known_[found];
}

InstanceReweight::Best InstanceReweight::BestOf(const std::vector<int64_t>& actions) const {
  Best best = {actions.empty() ? kNone : kUnknown};
  for (int64_t a : actions) {
    const Action* action = Find(a);
    if (action && action->priority > 0 && action->priority < std::min(best.priority, kUnknown)) best = {action->priority, action};
  }
  return best;
}

int64_t InstanceReweight::Worth(const std::vector<int64_t>& actions, const Best& best) const {
  int64_t worth = actions.empty() ? 0 : 1;
  bool too_many = false;
  for (int64_t a : actions) {
    const Action* action = Find(a);
    if (!action || !action->weighted || (action->priority > 0 && action != best.action)) continue;
    worth = multiply_ ? worth * action->weight : worth + action->weight;
    if (worth == 0 && multiply_) return 0;
    too_many |= worth > kMostCopies;
    if (too_many) worth = kMostCopies;  // a weight of 0 may still follow
  }
  if (too_many) throw BadRecord("its actions ask for more than " + std::to_string(kMostCopies) + " copies");
  return worth;
}

int64_t InstanceReweight::Copies(float* label) const {
  const std::vector<int64_t>& actions = view_.line_id().List(actions_);
  const std::vector<int64_t>& before = view_.line_id().List(pre_actions_);
  const Best best = BestOf(actions), best_before = BestOf(before);
  if (best_before.priority <= best.priority) return best_before.priority == kNone ? 1 : 0;
  if (best.labelled()) *label = static_cast<float>(best.action->label);
  const int64_t worth = Worth(actions, best);
  if (!best_before.labelled()) return worth;
  const int64_t worth_before = Worth(before, best_before);
  if (std::trunc(static_cast<double>(*label)) != static_cast<double>(best_before.action->label)) return worth_before + worth;
  if (worth_before <= worth) return worth - worth_before;
  *label = -*label;
  return worth_before - worth;
}

void InstanceReweight::Process(const Record& record, RecordSink* next) {
  view_.Load(record.payload);
  if (view_.labels().empty()) {
    ++no_label_;
    return;
  }
  float label = view_.labels()[0];
  const int64_t copies = Copies(&label);
  if (copies == 0) {
    ++no_copies_;
    return;
  }
  Emit(record, label, copies, next);
}

void InstanceReweight::Emit(const Record& record, float label, int64_t copies, RecordSink* next) {
  Record made = record;
  if (std::memcmp(&label, &view_.labels()[0], sizeof label) != 0) {
    patch_.Load(record.payload);
    patch_.SetLabel(view_.labels(), 0, label);
    made.payload = patch_.Apply();
    made.framed = false;
  }
  for (int64_t i = 0; i < copies; ++i) next->Write(made);
}

std::map<std::string, uint64_t> InstanceReweight::DroppedBy() const {
  std::map<std::string, uint64_t> by;
  if (no_label_) by["no_label"] = no_label_;
  if (no_copies_) by["no_copies"] = no_copies_;
  return by;
}

}  // namespace monolith
