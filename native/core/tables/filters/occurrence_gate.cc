#include "core/tables/filters/occurrence_gate.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace monolith {

OccurrenceGate::OccurrenceGate(std::shared_ptr<OccurrenceFilter> filter, SlotThresholds thresholds)
    : filter_(std::move(filter)), thresholds_(std::move(thresholds)), idle_(filter_->passes_all() || !thresholds_.any()) {
  if (!idle_ && thresholds_.Largest() > filter_->max_threshold())
    throw Error(ErrorCode::kConfig, "occurrence_threshold " + std::to_string(thresholds_.Largest()) + " is above " +
                                        std::to_string(filter_->max_threshold()) +
                                        ", which is as far as this filter counts; lower it, or take filter_type probabilistic_filter");
}

void OccurrenceGate::Decide(const int64_t* ids, const uint32_t* counts, size_t n, int64_t global_step, uint8_t* drop) const {
  std::fill_n(drop, n, uint8_t{0});
  if (idle_) return;
  std::vector<uint32_t> thresholds(n);
  size_t guarded = 0;
  for (size_t i = 0; i < n; ++i) guarded += (thresholds[i] = thresholds_.Of(ids[i])) > 0;
  if (guarded == n) return filter_->Filter({ids, thresholds.data(), counts, n, global_step}, drop);
  std::vector<int64_t> asked;
  std::vector<uint32_t> asked_counts;
  std::vector<size_t> places;
  for (size_t i = 0; i < n; ++i) {
    if (thresholds[i] == 0) continue;
    thresholds[asked.size()] = thresholds[i];
    asked.push_back(ids[i]);
    places.push_back(i);
    if (counts) asked_counts.push_back(counts[i]);
  }
  std::vector<uint8_t> dropped(asked.size());
  filter_->Filter({asked.data(), thresholds.data(), counts ? asked_counts.data() : nullptr, asked.size(), global_step}, dropped.data());
  for (size_t k = 0; k < places.size(); ++k) drop[places[k]] = dropped[k];
}

void OccurrenceGate::DecideWithoutTable(const int64_t* ids, size_t n, uint8_t* drop) const {
  if (!filter_->needs_table()) return Decide(ids, nullptr, n, 0, drop);
  std::fill_n(drop, n, uint8_t{0});
}

}  // namespace monolith
