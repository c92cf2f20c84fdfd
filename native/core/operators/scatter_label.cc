#include "core/operators/scatter_label.h"

#include <algorithm>

#include "core/base/error.h"

namespace monolith {

ScatterLabel::ScatterLabel(RecordType type, std::vector<std::pair<int64_t, int32_t>> index_of_channel)
    : LabelOperator(type),
      index_of_channel_(std::move(index_of_channel)),
      chnid_(view_.WantLineId(*FindLineIdField("chnid"))) {
  if (index_of_channel_.empty()) throw Error(ErrorCode::kUsage, "no channel to scatter labels by");
  for (const auto& [channel, index] : index_of_channel_) {
    if (index < 0 || index >= kMostLabels)
      throw Error(ErrorCode::kUsage, "an index of a label is 0 to 65535, not " + std::to_string(index));
    labels_ = std::max(labels_, static_cast<size_t>(index) + 1);
  }
  std::stable_sort(index_of_channel_.begin(), index_of_channel_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
}

void ScatterLabel::Relabel(std::vector<float>* labels) {
  const float label = labels->empty() ? kInvalidLabel : labels->front();
  labels->assign(labels_, kInvalidLabel);
  const int64_t channel = view_.line_id().Int(chnid_);
  const auto behind = std::upper_bound(index_of_channel_.begin(), index_of_channel_.end(), channel,
                                       [](int64_t c, const auto& entry) { return c < entry.first; });
  if (behind == index_of_channel_.begin() || behind[-1].first != channel) return;
  (*labels)[static_cast<size_t>(behind[-1].second)] = label;
}

}  // namespace monolith
