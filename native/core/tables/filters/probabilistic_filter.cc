#include "core/tables/filters/probabilistic_filter.h"

#include <algorithm>
#include <cmath>

#include "core/base/random.h"

namespace monolith {
namespace {

constexpr double kMissProbability = 0.05;  // that `threshold` occurrences do not suffice, when each has an equal chance
constexpr uint64_t kLargestDraw = UINT32_MAX;

uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t state = a ^ (b * 0x9e3779b97f4a7c15);
  return SplitMix64(&state);
}

}  // namespace

double ProbabilisticFilter::InsertProbability(uint32_t threshold, uint32_t count, bool equal_probability) {
  if (threshold == 0) return 1;
  const double occurrences = static_cast<double>(count) / threshold;
  return equal_probability ? 1 - std::pow(kMissProbability, occurrences) : std::min(1.0, occurrences);
}

bool ProbabilisticFilter::Insert(uint32_t draw, uint32_t threshold, uint32_t count) const {
  if (equal_) return draw < static_cast<double>(kLargestDraw) * InsertProbability(threshold, count, true);
  return uint64_t{draw} * threshold < kLargestDraw * count;
}

void ProbabilisticFilter::Filter(const Occurrences& batch, uint8_t* drop) {
  const bool by_step = batch.global_step > 0;
  const uint64_t base = by_step ? Mix(seed_, static_cast<uint64_t>(batch.global_step)) : Mix(~seed_, 0);
  const uint64_t first = by_step ? 0 : drawn_.fetch_add(batch.n, std::memory_order_relaxed);
  for (size_t i = 0; i < batch.n; ++i) {
    uint64_t bits = Mix(base, static_cast<uint64_t>(batch.ids[i]));
    if (!by_step) bits = Mix(bits, first + i);
    else if (!batch.counts) bits = Mix(bits, i);  // the same id may stand there again
    drop[i] = !Insert(static_cast<uint32_t>(bits >> 32), batch.thresholds[i], batch.counts ? batch.counts[i] : 1);
  }
}

}  // namespace monolith
