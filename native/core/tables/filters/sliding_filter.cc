#include "core/tables/filters/sliding_filter.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/tables/filters/filter_hash.h"

namespace monolith {
namespace {

constexpr size_t kBlock = 16;           // ids whose cells are fetched ahead
constexpr size_t kSectionIds = 4096;    // the longest that moving the head waits for
constexpr int kMaxSplits = 99999;       // file names have five digits

std::vector<std::shared_ptr<CountingSplit>> MakeSplits(uint64_t capacity, int split_num) {
  if (split_num < 1 || split_num > kMaxSplits)
    throw Error(ErrorCode::kConfig, "filter_split_num must be 1.." + std::to_string(kMaxSplits) + ", not " + std::to_string(split_num));
  const uint64_t n = std::max(SlidingFilter::kMinSplits, static_cast<unsigned>(split_num));
  const uint64_t each = std::max(capacity, SlidingFilter::kMinCapacity) / (n - 1);
  if (each == 0)
    throw Error(ErrorCode::kConfig, "a filter_capacity of " + std::to_string(capacity) + " is too small for filter_split_num " +
                                        std::to_string(split_num) + ": it must be " + std::to_string(n - 1) + " or more");
  std::vector<std::shared_ptr<CountingSplit>> splits;
  for (uint64_t i = 0; i < n; ++i) splits.push_back(std::make_shared<CountingSplit>(each, SlidingFilter::kFillRate));
  return splits;
}

}  // namespace

SlidingFilter::SlidingFilter(uint64_t capacity, int split_num) : splits_(MakeSplits(capacity, split_num)) {}

unsigned SlidingFilter::BackwardSteps() const {
  return static_cast<unsigned>(std::min<uint64_t>(head_increment_, max_backward_step()));
}

uint32_t SlidingFilter::Backward(uint64_t hash, uint16_t signature) const {
  for (unsigned back = 1, steps = BackwardSteps(); back <= steps; ++back) {
    const CountingCells::Found found = Behind(back).cells.Find(hash, signature, kMaxStep);
    if (found.cell && found.seen) return found.seen & kMaxOccurrences;
  }
  return 0;
}

// Splits behind the newest two do not change while the head stands still, so that reading them before the cell is taken is the
// same as reading them at that moment.
inline uint32_t SlidingFilter::AddOne(uint64_t hash, uint16_t signature, uint32_t count, bool* took_cell) {
  for (;;) {
    CountingCells::Found found{nullptr, 0};
    CountingSplit* split = nullptr;
    for (unsigned ahead = 0; ahead < kForwardStep && !found.cell; ++ahead) {
      split = &Ahead(ahead);
      found = split->cells.Find(hash, signature, kMaxStep);
    }
    if (!found.cell) {
      failure_count_.fetch_add(1, std::memory_order_relaxed);
      return kMaxOccurrences;
    }
    if (found.seen) return CountingCells::AddTo(found.cell, found.seen, count);
    const uint32_t old = Backward(hash, signature);
    if (!CountingCells::Take(found.cell, signature, old + count)) continue;
    split->num_elements.fetch_add(1, std::memory_order_relaxed);
    *took_cell = true;
    return old;
  }
}

void SlidingFilter::Prefetch(uint64_t hash) const {
  Ahead(0).cells.Prefetch(hash);
  for (unsigned back = 1, steps = BackwardSteps(); back <= steps; ++back) Behind(back).cells.Prefetch(hash);
}

void SlidingFilter::Add(const int64_t* ids, const uint32_t* counts, size_t n, uint8_t* old) {
  for (size_t i = 0; i < n;) {
    bool full = false;
    size_t head;
    {
      LaneLock::Shared in(lock_);
      head = head_;
      const CountingSplit& newest = *splits_[head];
      const size_t end = std::min(n, i + kSectionIds);
      uint64_t hashes[2 * kBlock];
      size_t fetched = i;
      const auto fetch = [&](size_t until) {
        for (; fetched < std::min(end, until); ++fetched) {
          const uint64_t hash = hashes[fetched % (2 * kBlock)] = FilterHash(ids[fetched]);
          Prefetch(hash);
        }
      };
      fetch(i + kBlock);
      while (i < end && !full) {
        fetch(i + kBlock + 1);
        const uint32_t count = counts ? std::min(counts[i], kMaxOccurrences) : 1;
        bool took_cell = false;
        old[i] = static_cast<uint8_t>(AddOne(hashes[i % (2 * kBlock)], FilterSignature(ids[i]), count, &took_cell));
        full = took_cell && newest.Full();
        ++i;
      }
    }
    if (full) Advance(head);
  }
}

void SlidingFilter::Advance(size_t head) {
  std::shared_ptr<CountingSplit> oldest;  // its memory is given back when others count again
  LaneLock::Alone alone(lock_);
  if (head_ != head || !splits_[head]->Full()) return;
  oldest = splits_[AheadOf(head, kForwardStep)];
  splits_[AheadOf(head, kForwardStep)] = oldest->Fresh();
  head_ = AheadOf(head, 1);
  ++head_increment_;
}

uint64_t SlidingFilter::SplitCapacity() {
  LaneLock::Shared in(lock_);
  return splits_.front()->capacity;
}

uint32_t SlidingFilter::Get(int64_t id) {
  const uint64_t hash = FilterHash(id);
  const uint16_t signature = FilterSignature(id);
  LaneLock::Shared in(lock_);
  for (unsigned ahead = 0; ahead < kForwardStep; ++ahead) {
    const CountingCells::Found found = Ahead(ahead).cells.Find(hash, signature, kMaxStep);
    if (found.cell) return found.seen ? found.seen & kMaxOccurrences : Backward(hash, signature);
  }
  return kMaxOccurrences;
}

void SlidingFilter::Filter(const Occurrences& batch, uint8_t* drop) {
  Add(batch.ids, batch.counts, batch.n, drop);
  for (size_t i = 0; i < batch.n; ++i) drop[i] = drop[i] < batch.thresholds[i];
}

void SlidingFilter::Clear() {
  std::vector<std::shared_ptr<CountingSplit>> old;
  LaneLock::Alone alone(lock_);
  old = splits_;
  for (auto& split : splits_) split = split->Fresh();
  head_ = 0;
  head_increment_ = 0;
  failure_count_.store(0, std::memory_order_relaxed);
}

SlidingFilter::State SlidingFilter::state() {
  LaneLock::Shared in(lock_);
  return {head_, head_increment_, failure_count_.load(std::memory_order_relaxed)};
}

}  // namespace monolith
