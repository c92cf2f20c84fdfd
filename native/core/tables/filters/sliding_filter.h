// A ring of counting splits that forgets the oldest (spec 30, 8.3): an id moves to the newest split whenever it occurs, and
// when that is full the split after the next is emptied.
#pragma once

#include <memory>
#include <vector>

#include "core/tables/filters/counting_filter.h"
#include "core/tables/filters/lane_lock.h"

namespace monolith {

class SlidingFilter : public OccurrenceFilter {
 public:
  static constexpr unsigned kMinSplits = 5, kForwardStep = 2, kMaxStep = 16;
  static constexpr uint64_t kMinCapacity = 300;
  static constexpr double kFillRate = 1.2;

  // capacity: ids it remembers, at least kMinCapacity whatever is asked for. split_num: at least kMinSplits. Throws Error(kConfig).
  SlidingFilter(uint64_t capacity, int split_num);

  // Counts ids in order; old[i] is the count before, 0..15, and 15 too when there is no cell for an id. counts: nullptr for 1 each.
  // No count is lost however many threads add.
  void Add(const int64_t* ids, const uint32_t* counts, size_t n, uint8_t* old);
  uint32_t Get(int64_t id);

  void Filter(const Occurrences& batch, uint8_t* drop) override;
  uint32_t max_threshold() const override { return kMaxOccurrences; }
  int split_num() const override { return static_cast<int>(splits_.size()); }
  void Save(const std::string& basename) override;
  void Restore(const std::string& basename) override;
  void Clear() override;

  // What the files tell, and people who look into a filter.
  struct State {
    uint64_t head, head_increment, failure_count;
  };
  State state();
  const CountingSplit& split(size_t i) const { return *splits_[i]; }
  unsigned max_backward_step() const { return static_cast<unsigned>(splits_.size()) - 2; }

 private:
  uint32_t AddOne(uint64_t hash, uint16_t signature, uint32_t count, bool* took_cell);
  // The count of an id in the splits behind the newest, 0 when it is in none.
  uint32_t Backward(uint64_t hash, uint16_t signature) const;
  unsigned BackwardSteps() const;
  size_t AheadOf(size_t head, unsigned steps) const { return (head + steps) % splits_.size(); }
  CountingSplit& Ahead(unsigned steps) const { return *splits_[AheadOf(head_, steps)]; }
  CountingSplit& Behind(unsigned steps) const { return *splits_[(head_ + splits_.size() - steps) % splits_.size()]; }
  uint64_t SplitCapacity();
  void Prefetch(uint64_t hash) const;
  // Makes the next split the newest, if `head` still is and is full.
  void Advance(size_t head);

  LaneLock lock_;  // shared to count; alone to move the head
  // Counted in while they are the newest two. None is emptied: another takes its place, for a save may be reading it.
  std::vector<std::shared_ptr<CountingSplit>> splits_;
  size_t head_ = 0;
  uint64_t head_increment_ = 0;  // how often the head has moved
  std::atomic<uint64_t> failure_count_{0};
};

}  // namespace monolith
