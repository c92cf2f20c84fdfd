#include "core/operators/sampling.h"

#include <algorithm>

#include "core/base/error.h"

namespace monolith {
namespace {

bool Contains(const std::vector<int64_t>& values, int64_t v) {
  return std::find(values.begin(), values.end(), v) != values.end();
}

void CheckRate(const char* option, float rate) {
  if (!(rate >= 0 && rate <= 1)) throw Error(ErrorCode::kUsage, std::string(option) + ": a rate is between 0 and 1");
}

// How many of 0, 0.001 … 0.999 are below the rate, all in single precision.
uint32_t Thousandths(float rate) {
  uint32_t n = 0;
  while (n < 1000 && static_cast<float>(n) / 1000.0f < rate) ++n;
  return n;
}

}  // namespace

SpecialStrategy::SpecialStrategy(SpecialStrategyConfig config, RecordView* view) : config_(std::move(config)) {
  size_t labels = 0;
  for (const SpecialStrategyConfig::Rule& rule : config_.rules) {
    CheckRate("--strategy-conf", rule.rate);
    labels += rule.label.has_value();
  }
  if (labels != 0 && labels != config_.rules.size())
    throw Error(ErrorCode::kUsage, "--strategy-conf: give a label for all strategies or for none");
  place_ = view->WantLineId(*FindLineIdField("special_strategies"));
  if (labels) view->WantLabels();
}

SpecialStrategy::Verdict SpecialStrategy::Decide(const RecordView& view, Random* random) const {
  const std::vector<int64_t>& has = view.line_id().List(place_);
  if (has.empty()) return {config_.keep_empty, std::nullopt};
  for (int32_t strategy : config_.strategies) {
    if (!Contains(has, strategy)) continue;
    const auto rule = std::find_if(config_.rules.begin(), config_.rules.end(),
                                   [strategy](const auto& r) { return r.strategy == strategy; });
    if (rule == config_.rules.end()) return {true, std::nullopt};
    if (rule->rate != 1.0f && random->UniformFloat() > rule->rate) return {false, std::nullopt};
    if (rule->label && view.labels().empty())
      throw BadRecord("special strategy " + std::to_string(strategy) + " sets the first label, and there is none");
    return {true, rule->label};
  }
  return {false, std::nullopt};
}

NegativeSample::NegativeSample(NegativeSampleConfig config, RecordView* view)
    : config_(std::move(config)), thousandths_(Thousandths(config_.drop_rate)) {
  CheckRate("--drop-rate", config_.drop_rate);
  if (config_.action_priority.empty() != config_.action_rates.empty())
    throw Error(ErrorCode::kUsage, "--action-priority and --action-rate go together");
  for (const NegativeSampleConfig::Rate& rate : config_.action_rates) CheckRate("--action-rate", rate.rate);
  for (int32_t action : config_.action_priority) {
    const auto rate = std::find_if(config_.action_rates.begin(), config_.action_rates.end(),
                                   [action](const auto& r) { return r.action == action; });
    const bool own = action > 0 && rate != config_.action_rates.end();
    by_priority_.push_back({action, own ? Thousandths(rate->rate) : thousandths_});
  }
  view->WantLabels();
  if (!by_priority_.empty()) actions_ = view->WantLineId(*FindLineIdField("actions"));
}

uint32_t NegativeSample::ThousandthsOf(const RecordView& view) const {
  if (by_priority_.empty()) return thousandths_;
  const std::vector<int64_t>& actions = view.line_id().List(actions_);
  for (const Action& action : by_priority_)
    if (Contains(actions, action.action)) return action.thousandths;
  return thousandths_;
}

bool NegativeSample::Keeps(const RecordView& view, Random* random) const {
  const std::vector<float>& labels = view.labels();
  if (config_.label_index >= labels.size())
    throw BadRecord("no label " + std::to_string(config_.label_index) + " to tell a negative by; there are " +
                    std::to_string(labels.size()));
  if (!(labels[config_.label_index] < config_.threshold)) return true;
  return random->Below(1000) >= ThousandthsOf(view);
}

}  // namespace monolith
