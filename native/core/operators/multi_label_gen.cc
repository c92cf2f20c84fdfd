#include "core/operators/multi_label_gen.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "core/base/error.h"
#include "core/operators/line_id_choice.h"

namespace monolith {
namespace {

FidSet SetOf(const std::vector<int32_t>& actions) {
  std::vector<uint64_t> all;
  for (int32_t action : actions) all.push_back(static_cast<uint64_t>(int64_t{action}));
  return FidSet(std::move(all));
}

// The number whose decimal text this is, as a field of the kind holds it.
uint64_t NumberOf(const std::string& head, const LineIdField& field) {
  const bool is_unsigned =
      field.kind == FieldKind::kUint64 || field.kind == FieldKind::kVarUint64 || field.kind == FieldKind::kUint32;
  errno = 0;
  const uint64_t value = is_unsigned ? std::strtoull(head.c_str(), nullptr, 10)
                                     : static_cast<uint64_t>(std::strtoll(head.c_str(), nullptr, 10));
  const std::string text = is_unsigned ? std::to_string(value) : std::to_string(static_cast<int64_t>(value));
  if (errno != 0 || text != head)
    throw Error(ErrorCode::kUsage, "head \"" + head + "\" is no value of " + std::string(field.name) + ", which is an integer");
  return value;
}

}  // namespace

MultiLabelGen::MultiLabelGen(const MultiLabelGenConfig& config)
    : LabelOperator(config.type),
      head_field_(ChooseLineIdField(config.head_field, "an integer or a string", [](const LineIdField& f) {
        return f.kind != FieldKind::kFloat && f.kind != FieldKind::kDouble && f.kind != FieldKind::kBool;
      })),
      head_(view_.WantLineId(head_field_)),
      actions_(view_.WantLineId(*FindLineIdField("actions"))),
      from_label_(config.from_label),
      positive_label_(config.positive_label),
      negative_label_(config.negative_label),
      positive_(SetOf(config.positive)),
      negative_(SetOf(config.negative)),
      priority_(config.priority.begin(), config.priority.end()) {
  if (config.from_label && !(config.positive.empty() && config.negative.empty() && config.priority.empty()))
    throw Error(ErrorCode::kUsage, "labels come from actions or from the label that is there, not from both");
  if (!config.from_label && config.positive.empty()) throw Error(ErrorCode::kUsage, "a positive action is needed");
  AddHeads(config);
}

void MultiLabelGen::AddHeads(const MultiLabelGenConfig& config) {
  if (config.heads.empty()) throw Error(ErrorCode::kUsage, "no head to choose the label by");
  if (config.task_num < 0 || config.task_num > kMostLabels)
    throw Error(ErrorCode::kUsage, "a number of labels is 0 to 65536, not " + std::to_string(config.task_num));
  int32_t greatest = 0;
  std::vector<uint64_t> numbers;
  for (const auto& [head, index] : config.heads) {
    if (head.find_first_of(",:") != std::string::npos) throw Error(ErrorCode::kUsage, "head \"" + head + "\" has a \",\" or \":\"");
    if (index < 0 || index >= (config.task_num ? config.task_num : kMostLabels))
      throw Error(ErrorCode::kUsage, "index " + std::to_string(index) + " of head \"" + head + "\" is not in 0.." +
                                         std::to_string((config.task_num ? config.task_num : kMostLabels) - 1));
    greatest = std::max(greatest, index);
    if (head_field_.kind != FieldKind::kString) numbers.push_back(NumberOf(head, head_field_));
  }
  task_num_ = static_cast<size_t>(config.task_num ? config.task_num : greatest + 1);
  if (head_field_.kind == FieldKind::kString) {
    texts_ = config.heads;
    std::stable_sort(texts_.begin(), texts_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    return;
  }
  numbers_ = FidSet(numbers);
  index_of_number_.assign(numbers_.size(), -1);
  for (size_t i = 0; i < numbers.size(); ++i) {
    int32_t& index = index_of_number_[numbers_.Find(numbers[i])];
    if (index < 0) index = config.heads[i].second;
  }
}

void MultiLabelGen::Relabel(std::vector<float>* labels) {
  const float label = !from_label_ ? FromActions() : labels->empty() ? kInvalidLabel : labels->front();
  labels->assign(task_num_, kInvalidLabel);
  const int32_t index = IndexOfHead();
  if (index >= 0) (*labels)[static_cast<size_t>(index)] = label;
}

float MultiLabelGen::FromActions() const {
  const std::vector<int64_t>& actions = view_.line_id().List(actions_);
  if (actions.empty()) return kInvalidLabel;
  int64_t action = actions[0];
  if (actions.size() > 1) {
    const auto first = std::find_if(priority_.begin(), priority_.end(), [&](int64_t p) {
      return std::find(actions.begin(), actions.end(), p) != actions.end();
    });
    if (first != priority_.end()) action = *first;
  }
  if (positive_.Contains(static_cast<uint64_t>(action))) return positive_label_;
  return negative_.Contains(static_cast<uint64_t>(action)) ? negative_label_ : kInvalidLabel;
}

int32_t MultiLabelGen::IndexOfHead() const {
  if (head_field_.kind != FieldKind::kString) {
    const size_t found = numbers_.Find(view_.line_id().Uint(head_));
    return found == FidSet::kAbsent ? -1 : index_of_number_[found];
  }
  const std::string_view head = view_.line_id().String(head_);
  const auto at = std::lower_bound(texts_.begin(), texts_.end(), head,
                                   [](const auto& entry, std::string_view text) { return entry.first < text; });
  return at != texts_.end() && at->first == head ? at->second : -1;
}

}  // namespace monolith
