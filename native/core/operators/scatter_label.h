// Puts the one label of a record into the place of the task its channel belongs to (spec 20, section 9).
//
// The labels become as many as the greatest index says, all invalid, but the one at the index of line_id.chnid: that is
// what the first label was (invalid when there was none). A channel without an index has invalid ones only.
#pragma once

#include <utility>
#include <vector>

#include "core/operators/label_config.h"
#include "core/operators/label_operator.h"

namespace monolith {

class ScatterLabel : public LabelOperator {
 public:
  // Pairs of channel and index, the last of equal channels holds. Throws Error(kUsage) for none, for an index out of
  // 0..65535, and for example_batch.
  ScatterLabel(RecordType type, std::vector<std::pair<int64_t, int32_t>> index_of_channel);

  const char* name() const override { return "scatter_label"; }

 private:
  void Relabel(std::vector<float>* labels) override;

  std::vector<std::pair<int64_t, int32_t>> index_of_channel_;  // sorted
  size_t labels_ = 0;
  const int chnid_;
};

}  // namespace monolith
