// The conditions of pb-filter that draw random numbers (spec 20, sections 4 and 5).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/random.h"
#include "core/operators/record_view.h"

namespace monolith {

// Samples records, and gives them another first label, by line_id.special_strategies.
struct SpecialStrategyConfig {
  struct Rule {
    int32_t strategy = 0;
    float rate = 1;              // 0..1: probability to keep
    std::optional<float> label;  // of all rules or of none
  };
  std::vector<int32_t> strategies;  // in order of priority; empty for no such condition
  std::vector<Rule> rules;          // the first one of a strategy counts
  bool keep_empty = true;           // keep records without any strategy
};

class SpecialStrategy {
 public:
  // Tells `view` what it will ask. Throws Error(kUsage).
  SpecialStrategy(SpecialStrategyConfig config, RecordView* view);

  struct Verdict {
    bool keep;
    std::optional<float> label;  // what label[0] becomes
  };
  // The first of the listed strategies that the record has decides: kept when it has no rule, or with its rate. No number
  // is drawn for a rate of 1; otherwise the record is kept when u <= rate, for u evenly in [0, 1). A record that has
  // strategies but none of the list is dropped. Throws BadRecord when a label is due and the record has none.
  Verdict Decide(const RecordView& view, Random* random) const;

 private:
  const SpecialStrategyConfig config_;
  int place_;
};

// Drops negatives at random.
struct NegativeSampleConfig {
  struct Rate {
    int32_t action = 0;
    float rate = 0;
  };
  float drop_rate = 0;   // 0..1
  float threshold = 0;   // labels from here on are positive
  uint32_t label_index = 0;
  std::vector<int32_t> action_priority;  // the earlier the higher
  std::vector<Rate> action_rates;        // the first one of an action counts; only with action_priority
};

class NegativeSample {
 public:
  NegativeSample(NegativeSampleConfig config, RecordView* view);

  // True for label[label_index] >= threshold, and for NaN. Otherwise one number is drawn, evenly out of 0, 0.001 … 0.999, and
  // the record is dropped when it is below the rate: that of the record's action of highest priority when this is
  // positive and has one, else drop_rate. Throws BadRecord when there is no such label.
  bool Keeps(const RecordView& view, Random* random) const;

 private:
  uint32_t ThousandthsOf(const RecordView& view) const;

  struct Action {
    int64_t action;
    uint32_t thousandths;
  };
  const NegativeSampleConfig config_;
  std::vector<Action> by_priority_;
  uint32_t thousandths_;  // of drop_rate
  int actions_ = -1;
};

}  // namespace monolith
