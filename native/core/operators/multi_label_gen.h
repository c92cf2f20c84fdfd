// One label in the place of the record's head, from its actions or from the label it has (spec 20, section 13).
//
// The labels become `task_num`, all invalid, but the one at the index of the head: positive, negative or invalid as the
// record's action is among `positive`, else among `negative`, or neither. The action is the one of highest priority; where none is listed, or
// there are no priorities, the first. With `from_label` it is what the first label was (invalid when there was none).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/operators/fid_scan.h"
#include "core/operators/label_config.h"
#include "core/operators/label_operator.h"

namespace monolith {

struct MultiLabelGenConfig {
  RecordType type = RecordType::kInstance;
  std::string head_field = "chnid";  // of line_id: an integer (its decimal text is the head) or a string
  std::vector<std::pair<std::string, int32_t>> heads;  // and their indexes, 0..65535; the first of equal heads holds
  int task_num = 0;                                    // labels; 0 for the greatest index and one
  std::vector<int32_t> positive, negative;
  std::vector<int32_t> priority;  // actions, the highest first
  bool from_label = false;        // then there are no actions
  float positive_label = 1, negative_label = 0;
};

class MultiLabelGen : public LabelOperator {
 public:
  // Throws Error(kUsage) for what cannot be right, a head that no integer looks like included.
  explicit MultiLabelGen(const MultiLabelGenConfig& config);

  const char* name() const override { return "multi_label_gen"; }

 private:
  void Relabel(std::vector<float>* labels) override;
  float FromActions() const;
  int32_t IndexOfHead() const;  // -1 for none
  void AddHeads(const MultiLabelGenConfig& config);

  const LineIdField& head_field_;
  const int head_, actions_;
  const bool from_label_;
  const float positive_label_, negative_label_;
  size_t task_num_ = 0;
  std::vector<std::pair<std::string, int32_t>> texts_;  // heads of a string field, sorted
  FidSet numbers_;                                      // heads of an integer field
  std::vector<int32_t> index_of_number_;
  FidSet positive_, negative_;
  std::vector<int64_t> priority_;
};

}  // namespace monolith
