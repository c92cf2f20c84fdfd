// One set of counting cells (spec 30, 8.2): of an id with threshold T the first T occurrences are kept out.
#pragma once

#include <atomic>
#include <memory>

#include "core/tables/filters/counting_cells.h"
#include "core/tables/filters/occurrence_filter.h"

namespace monolith {

// Cells with the numbers that belong to them. A sliding filter has a ring of these.
struct CountingSplit {
  CountingSplit(uint64_t capacity, double fill_rate);
  CountingSplit(uint64_t capacity, double fill_rate, CountingCells cells);

  bool Full() const { return Elements() + 1 >= capacity; }
  uint64_t Elements() const;
  void Clear();
  // An empty one of the same size.
  std::unique_ptr<CountingSplit> Fresh() const;
  // A copy, while others may be counting: of each cell what it holds at some moment, and as many elements as there are in it.
  std::unique_ptr<CountingSplit> Copy() const;

  const uint64_t capacity;
  double fill_rate;
  CountingCells cells;
  std::atomic<uint64_t> num_elements{0}, failure_count{0};
};

class CountingFilter : public OccurrenceFilter {
 public:
  static constexpr unsigned kMaxStep = 64;
  // capacity: ids it is made for, above 0. fill_rate: cells for each, above 0.
  explicit CountingFilter(uint64_t capacity, double fill_rate = 1.5);

  // Adds to the count of an id and returns the count before: 0..15, and 15 too when there is no cell for it.
  uint32_t Add(int64_t id, uint32_t count);
  uint32_t Get(int64_t id) const;

  void Filter(const Occurrences& batch, uint8_t* drop) override;
  uint32_t max_threshold() const override { return kMaxOccurrences; }
  void Clear() override;
  const CountingSplit& split() const { return split_; }

 private:
  CountingSplit split_;
};

}  // namespace monolith
