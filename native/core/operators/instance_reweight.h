// Relabels a record by its most important action and repeats it a whole number of times, 0 included (spec 20, section 22).
//
// Of a list of actions (actions, pre_actions), the best is the one of highest priority; the 1000th priority and those
// behind it count as none. A list is worth 1, multiplied by (or, with kAdd, increased by) the weight of each of its
// actions that has one, those listed by priority that are not the best left out; an empty list is worth 0. Then, with the first label:
//   no labels                                            dropped
//   no actions and no pre_actions                        1 copy
//   the best of actions does not go before that of
//   pre_actions (none at all is last, an unlisted one next to last)  dropped
//   else the label becomes that of the best action, where it has one, and there are
//     worth(actions) copies                              where the best of pre_actions has no label
//     worth(pre_actions) + worth(actions) copies         where its label is another
//     worth(actions) - worth(pre_actions) copies         where it is the same; below 0 the label changes its sign
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/operators/fid_scan.h"
#include "core/operators/label_config.h"
#include "core/operators/operator.h"
#include "core/operators/record_patch.h"
#include "core/operators/record_view.h"

namespace monolith {

struct InstanceReweightConfig {
  enum class Method { kMultiply, kAdd };

  RecordType type = RecordType::kInstance;
  std::vector<int32_t> priority;      // the highest first; the last of equal actions holds
  std::vector<ActionWeight> weights;  // the last of equal actions holds
  Method method = Method::kMultiply;
};

class InstanceReweight : public Operator {
 public:
  // Throws Error(kUsage) for no priorities, no weights, a weight out of 0..1000000, and example_batch.
  explicit InstanceReweight(const InstanceReweightConfig& config);

  const char* name() const override { return "instance_reweight"; }
  // A record that would come to more than a million copies is a BadRecord.
  void Process(const Record& record, RecordSink* next) override;
  std::map<std::string, uint64_t> DroppedBy() const override;

 private:
  struct Action {
    int64_t priority = 0;  // from 1; 0 for not listed
    bool weighted = false;
    int64_t weight = 0, label = 0;
  };
  struct Best {
    int64_t priority;                // or kUnknown, kNone
    const Action* action = nullptr;  // null with those
    bool labelled() const { return action && action->weighted; }
  };
  static constexpr int64_t kUnknown = 1000, kNone = 2000;

  const Action* Find(int64_t action) const;
  Best BestOf(const std::vector<int64_t>& actions) const;
  int64_t Worth(const std::vector<int64_t>& actions, const Best& best) const;
  // Copies of the record that view_ holds, and its first label.
  int64_t Copies(float* label) const;
  void Emit(const Record& record, float label, int64_t copies, RecordSink* next);

  const bool multiply_;
  RecordView view_;
  RecordPatch patch_;
  const int actions_, pre_actions_;
  FidSet set_;
  std::vector<Action> known_;  // by index in set_
  uint64_t no_label_ = 0, no_copies_ = 0;
};

}  // namespace monolith
