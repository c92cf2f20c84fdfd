// What stands in front of a table: a filter, which several tables may share, and how often the ids of each slot must occur.
#pragma once

#include <memory>

#include "core/tables/filters/occurrence_filter.h"
#include "core/tables/filters/slot_thresholds.h"

namespace monolith {

class OccurrenceGate {
 public:
  // Throws Error(kConfig) for a threshold that the filter cannot count to.
  OccurrenceGate(std::shared_ptr<OccurrenceFilter> filter, SlotThresholds thresholds);

  // Never keeps anything out, so that a table need not ask.
  bool idle() const { return idle_; }
  // The id has to occur more than once before it gets a row.
  bool Guards(int64_t id) const { return !idle_ && thresholds_.Of(id) > 0; }

  // For ids that have no row: counts them, counts[i] occurrences each (nullptr: 1, and ids may repeat), in order, and sets drop[i]
  // to 1 for those that are to stay out. Ids without a threshold pass uncounted. global_step 0: none.
  void Decide(const int64_t* ids, const uint32_t* counts, size_t n, int64_t global_step, uint8_t* drop) const;
  // The same where no table is at hand: one occurrence each; a filter that decides by what a table lacks lets all pass.
  void DecideWithoutTable(const int64_t* ids, size_t n, uint8_t* drop) const;

  OccurrenceFilter& filter() const { return *filter_; }
  const std::shared_ptr<OccurrenceFilter>& shared_filter() const { return filter_; }

 private:
  const std::shared_ptr<OccurrenceFilter> filter_;
  const SlotThresholds thresholds_;
  const bool idle_;
};

}  // namespace monolith
