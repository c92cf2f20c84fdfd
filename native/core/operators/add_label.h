// One label for each task, from the actions of a record, with sampling of negatives (spec 20, section 8).
//
// A first label that is there and at most 0 becomes invalid; the others stay. Behind them comes one label for each task:
//   1.0             some action is among the task's positive ones
//   negative_value  else, when some action is among its negative ones (or it names none), and the draw takes it
//   invalid         else
// The draw takes a negative when u < rate, u evenly in [0, 1); a rate of 1 (within two units of precision) takes it without a
// draw. line_id.sample_rate becomes new_sample_rate in every record.
#pragma once

#include <vector>

#include "core/base/random.h"
#include "core/operators/fid_scan.h"
#include "core/operators/label_config.h"
#include "core/operators/label_operator.h"

namespace monolith {

struct AddLabelConfig {
  RecordType type = RecordType::kInstance;
  std::vector<TaskLabel> tasks;
  float negative_value = 0;
  float new_sample_rate = 1;
  uint64_t seed = 0;
};

class AddLabel : public LabelOperator {
 public:
  // Throws Error(kUsage) for a task that cannot be right, and for example_batch. No task at all is allowed.
  explicit AddLabel(const AddLabelConfig& config);

  const char* name() const override { return "add_label"; }

 private:
  struct Task {
    FidSet positive, negative;
    float rate;
    bool every;  // negative is taken without a draw
  };
  void Relabel(std::vector<float>* labels) override;
  float LabelOf(const Task& task, const std::vector<int64_t>& actions);

  std::vector<Task> tasks_;
  const float negative_value_, new_sample_rate_;
  const int actions_, sample_rate_;
  Random random_;
};

}  // namespace monolith
