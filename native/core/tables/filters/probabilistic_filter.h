// Lets an absent id in by chance, so that one of threshold T gets in after about T occurrences (spec 30, 8.4). Nothing is
// remembered and nothing is saved.
#pragma once

#include <atomic>

#include "core/tables/filters/occurrence_filter.h"

namespace monolith {

class ProbabilisticFilter : public OccurrenceFilter {
 public:
  // equal_probability: c occurrences at once get in as often as c one after the other. seed: of the draws; an update that tells its
  // global step draws by seed, step and id alone, whatever the threads do.
  explicit ProbabilisticFilter(bool equal_probability, uint64_t seed = 0) : equal_(equal_probability), seed_(seed) {}

  // The chance of `count` occurrences to get in: min(1, count / threshold), or 1 - 0.05^(count / threshold); 1 for threshold 0.
  static double InsertProbability(uint32_t threshold, uint32_t count, bool equal_probability);

  void Filter(const Occurrences& batch, uint8_t* drop) override;
  bool needs_table() const override { return true; }

 private:
  bool Insert(uint32_t draw, uint32_t threshold, uint32_t count) const;

  const bool equal_;
  const uint64_t seed_;
  std::atomic<uint64_t> drawn_{0};
};

}  // namespace monolith
