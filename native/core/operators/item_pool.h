// Item-side features by channel, from which negatives are drawn (spec 20, section 23). Not thread-safe.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/random.h"
#include "core/operators/item_queue.h"

namespace monolith {

class ItemPool {
 public:
  static constexpr uint64_t kMostItems = uint64_t{1} << 30;

  // A channel gives items only when it holds more than `start_num`, and forgets its oldest beyond `max_items`, which is
  // 1 to kMostItems. Throws Error(kUsage).
  ItemPool(uint64_t start_num, uint64_t max_items);
  ItemPool(const ItemPool&) = delete;
  ItemPool& operator=(const ItemPool&) = delete;

  // The features of a known item stay as they are, and so does its place; its counts grow.
  void Push(uint64_t channel, uint64_t id, std::string_view fids, std::string_view columns, uint32_t origin_count = 1,
            uint32_t sample_count = 0);

  // Views stay valid until the next Push().
  struct Drawn {
    uint64_t id;
    std::string_view fids, columns;
    double time_factor;  // (place + 1) / items of the channel: 1 for the newest
    double freq_factor;  // 1 / how often it was drawn, this time included
  };
  // Evenly among the items of a channel; false when there are too few. In two steps, so that the memory of several items
  // can be on its way at once: Choose() draws, Take() counts the draw. Between them there is no Push().
  struct Choice {
    ItemQueue* queue;
    uint64_t index;
  };
  bool Choose(uint64_t channel, Random* random, Choice* choice);
  static Drawn Take(const Choice& choice);
  static void Fetch(const Choice& choice);  // asks for the features of an item

  // A channel, as likely as it has many items; `otherwise` when there are less than two.
  uint64_t SampleChannel(uint64_t otherwise, Random* random) const;

  const std::vector<ItemQueue>& channels() const { return channels_; }  // in the order they came in
  uint64_t items() const { return items_; }

 private:
  ItemQueue* Find(uint64_t channel);
  void AddChannel(uint64_t channel);
  void CountItem(size_t place);

  const uint64_t start_num_, max_items_;
  std::vector<ItemQueue> channels_;
  std::unordered_map<uint64_t, size_t> places_;
  size_t last_ = 0;  // place of the channel asked for last
  std::vector<uint64_t> sums_;  // Fenwick tree over the sizes of channels_; sums_[i] belongs to i, from 1
  uint64_t items_ = 0;
};

}  // namespace monolith
