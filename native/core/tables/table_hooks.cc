#include "core/tables/table_hooks.h"

#include "core/tables/admission.h"
#include "core/tables/filters/occurrence_gate.h"
#include "core/tables/table.h"
#include "core/tables/touched_keys.h"

namespace monolith {

void TableHooks::SetGate(std::shared_ptr<const OccurrenceGate> gate) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (gate.get() == this->gate()) return;
  gate_.store(gate.get(), std::memory_order_release);
  if (gate) kept_.push_back(std::move(gate));
}

void TableHooks::SetTouched(std::shared_ptr<TouchedKeySet> touched) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (touched.get() == this->touched()) return;
  touched_.store(touched.get(), std::memory_order_release);
  if (touched) kept_.push_back(std::move(touched));
}

void EmbeddingTable::SetGate(std::shared_ptr<const OccurrenceGate> gate) {
  hooks_.SetGate(gate && gate->idle() ? nullptr : std::move(gate));
}

void EmbeddingTable::Optimize(const int64_t* keys, size_t n, const float* grads, const float* learning_rates, uint32_t now,
                              int64_t global_step) {
  OptimizeDistinct(keys, nullptr, n, grads, learning_rates, now, global_step);
}

void EmbeddingTable::OptimizeSummed(const int64_t* keys, size_t n, const float* grads, const float* learning_rates, uint32_t now,
                                    int64_t global_step) {
  const DistinctGradients distinct(keys, n, grads, static_cast<size_t>(dim_));
  OptimizeDistinct(distinct.keys(), distinct.counts(), distinct.size(), distinct.sums(), learning_rates, now, global_step);
}

}  // namespace monolith
