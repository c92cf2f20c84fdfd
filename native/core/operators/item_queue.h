// The items of one channel of the item pool: first in, first out, found by id.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace monolith {

// What is kept of one item. One piece of memory holds its features: v1 fids, then named features, each as a field of
// an Example stands on the wire (0x0a, length, message).
struct PooledItem {
  uint64_t id = 0;
  char* data = nullptr;
  uint32_t size = 0;        // bytes behind `data`
  uint32_t fids_bytes = 0;  // of them; a multiple of eight
  uint32_t origin_count = 0;  // how often it came in
  uint32_t sample_count = 0;  // how often it was drawn

  std::string_view fids() const { return {data, fids_bytes}; }
  std::string_view columns() const { return {data + fids_bytes, size - fids_bytes}; }
};

// 48 bytes an item, up to twice as much while it grows, besides the features. A look for an id that is not there, and taking
// out the oldest, touch one line of the index and no item.
class ItemQueue {
 public:
  explicit ItemQueue(uint64_t channel) : channel_(channel) {}
  ItemQueue(ItemQueue&& other) noexcept;
  ItemQueue(const ItemQueue&) = delete;
  ItemQueue& operator=(const ItemQueue&) = delete;
  ~ItemQueue();

  uint64_t channel() const { return channel_; }
  size_t size() const { return size_; }
  // 0 is the oldest.
  PooledItem& operator[](size_t i) { return ring_[(head_ + i) & (ring_.size() - 1)]; }
  const PooledItem& operator[](size_t i) const { return ring_[(head_ + i) & (ring_.size() - 1)]; }

  PooledItem* Find(uint64_t id);
  // `id` must not be there. When that makes more than `most` items, the oldest is forgotten.
  PooledItem* Append(uint64_t id, std::string_view fids, std::string_view columns, size_t most);

 private:
  void Grow();
  void Enter(uint32_t place);
  void RemoveOldest();

  struct Entry {
    uint32_t hash;
    uint32_t place;  // in ring_ plus one, 0 for none
  };

  uint64_t channel_;
  std::vector<PooledItem> ring_;  // a power of two
  size_t head_ = 0, size_ = 0;
  std::vector<Entry> index_;  // twice as long as ring_, linear probing from `hash` on
};

}  // namespace monolith
