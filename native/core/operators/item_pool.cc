#include "core/operators/item_pool.h"

#include <algorithm>
#include <string>

#include "core/base/error.h"

namespace monolith {
namespace {

constexpr uint32_t kFetched = 512;  // bytes of an item that are asked for ahead

uint32_t SaturatingSum(uint32_t a, uint32_t b) { return a > UINT32_MAX - b ? UINT32_MAX : a + b; }

size_t LowestBit(size_t i) { return i & (~i + 1); }

}  // namespace

ItemPool::ItemPool(uint64_t start_num, uint64_t max_items) : start_num_(start_num), max_items_(max_items), sums_(1, 0) {
  if (max_items == 0 || max_items > kMostItems)
    throw Error(ErrorCode::kUsage, "a channel of the item pool holds 1 to " + std::to_string(kMostItems) +
                                       " items, while got " + std::to_string(max_items));
}

ItemQueue* ItemPool::Find(uint64_t channel) {
  if (last_ < channels_.size() && channels_[last_].channel() == channel) return &channels_[last_];
  const auto found = places_.find(channel);
  if (found == places_.end()) return nullptr;
  last_ = found->second;
  return &channels_[last_];
}

void ItemPool::AddChannel(uint64_t channel) {
  last_ = channels_.size();
  places_.emplace(channel, last_);
  channels_.emplace_back(channel);
  const size_t i = channels_.size();
  uint64_t sum = 0;
  for (size_t j = i - 1; j > i - LowestBit(i); j -= LowestBit(j)) sum += sums_[j];
  sums_.push_back(sum);
}

void ItemPool::CountItem(size_t place) {
  ++items_;
  for (size_t i = place + 1; i < sums_.size(); i += LowestBit(i)) ++sums_[i];
}

void ItemPool::Push(uint64_t channel, uint64_t id, std::string_view fids, std::string_view columns, uint32_t origin_count,
                    uint32_t sample_count) {
  ItemQueue* queue = Find(channel);
  if (!queue) {
    AddChannel(channel);
    queue = &channels_.back();
  }
  PooledItem* item = queue->Find(id);
  if (!item) {
    const size_t before = queue->size();
    item = queue->Append(id, fids, columns, max_items_);
    if (queue->size() > before) CountItem(last_);
  }
  item->origin_count = SaturatingSum(item->origin_count, origin_count);
  item->sample_count = SaturatingSum(item->sample_count, sample_count);
}

bool ItemPool::Choose(uint64_t channel, Random* random, Choice* choice) {
  ItemQueue* queue = Find(channel);
  if (!queue || queue->size() <= start_num_) return false;
  *choice = {queue, random->Below(queue->size())};
  __builtin_prefetch(&(*queue)[choice->index], 1);
  return true;
}

void ItemPool::Fetch(const Choice& choice) {
  const PooledItem& item = (*choice.queue)[choice.index];
  for (uint32_t i = 0; i < item.size && i < kFetched; i += 64) __builtin_prefetch(item.data + i);
}

ItemPool::Drawn ItemPool::Take(const Choice& choice) {
  const size_t size = choice.queue->size();
  PooledItem& item = (*choice.queue)[choice.index];
  item.sample_count = SaturatingSum(item.sample_count, 1);
  return {item.id, item.fids(), item.columns(), static_cast<double>(choice.index + 1) / static_cast<double>(size),
          1.0 / item.sample_count};
}

uint64_t ItemPool::SampleChannel(uint64_t otherwise, Random* random) const {
  if (channels_.size() < 2) return otherwise;
  uint64_t left = random->Below(items_);
  size_t place = 0, step = 1;
  while (step * 2 < sums_.size()) step *= 2;
  for (; step > 0; step /= 2) {
    if (place + step >= sums_.size() || sums_[place + step] > left) continue;
    place += step;
    left -= sums_[place];
  }
  return channels_[place].channel();
}

}  // namespace monolith
