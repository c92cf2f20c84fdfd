#include "core/tables/filters/counting_filter.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/tables/filters/filter_hash.h"

namespace monolith {
namespace {

uint64_t TotalSize(uint64_t capacity, double fill_rate) {
  const double total = static_cast<double>(capacity) * fill_rate;
  if (!(total >= 1 && total <= static_cast<double>(CountingCells::kMaxTotal)))
    throw Error(ErrorCode::kConfig, "an occurrence filter of " + std::to_string(capacity) + " ids with a fill rate of " +
                                        std::to_string(fill_rate) + " has no size; choose another capacity");
  return static_cast<uint64_t>(total);
}

}  // namespace

CountingSplit::CountingSplit(uint64_t c, double rate) : CountingSplit(c, rate, CountingCells(TotalSize(c, rate))) {}
CountingSplit::CountingSplit(uint64_t c, double rate, CountingCells held) : capacity(c), fill_rate(rate), cells(std::move(held)) {}

uint64_t CountingSplit::Elements() const { return std::min(capacity, num_elements.load(std::memory_order_relaxed)); }

void CountingSplit::Clear() {
  cells.Clear();
  num_elements.store(0, std::memory_order_relaxed);
  failure_count.store(0, std::memory_order_relaxed);
}

std::unique_ptr<CountingSplit> CountingSplit::Fresh() const {
  return std::make_unique<CountingSplit>(capacity, fill_rate, CountingCells(cells.total_size()));
}

std::unique_ptr<CountingSplit> CountingSplit::Copy() const {
  auto copy = Fresh();
  uint64_t elements = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    const uint16_t cell = cells.Load(i);
    if (!cell) continue;  // it is so already, without memory
    copy->cells.Store(i, cell);
    ++elements;
  }
  copy->num_elements.store(elements, std::memory_order_relaxed);
  copy->failure_count.store(failure_count.load(std::memory_order_relaxed), std::memory_order_relaxed);
  return copy;
}

CountingFilter::CountingFilter(uint64_t capacity, double fill_rate) : split_(capacity, fill_rate) {}

uint32_t CountingFilter::Add(int64_t id, uint32_t count) {
  if (count == 0) return Get(id);
  const uint64_t hash = FilterHash(id);
  const uint16_t signature = FilterSignature(id);
  for (;;) {
    const CountingCells::Found found = split_.cells.Find(hash, signature, kMaxStep);
    if (!found.cell) {
      split_.failure_count.fetch_add(1, std::memory_order_relaxed);
      return kMaxOccurrences;
    }
    if (found.seen) return CountingCells::AddTo(found.cell, found.seen, std::min(count, kMaxOccurrences));
    if (!CountingCells::Take(found.cell, signature, count)) continue;
    split_.num_elements.fetch_add(1, std::memory_order_relaxed);
    return 0;
  }
}

uint32_t CountingFilter::Get(int64_t id) const {
  const CountingCells::Found found = split_.cells.Find(FilterHash(id), FilterSignature(id), kMaxStep);
  return found.cell ? found.seen & kMaxOccurrences : kMaxOccurrences;
}

void CountingFilter::Filter(const Occurrences& batch, uint8_t* drop) {
  for (size_t i = 0; i < batch.n; ++i) drop[i] = Add(batch.ids[i], batch.counts ? batch.counts[i] : 1) < batch.thresholds[i];
}

void CountingFilter::Clear() { split_.Clear(); }

}  // namespace monolith
