#include "core/operators/item_queue.h"

#include <cstring>
#include <new>
#include <utility>

#include "core/base/error.h"
#include "core/base/random.h"

namespace monolith {
namespace {

uint32_t HashOf(uint64_t id) { return static_cast<uint32_t>(SplitMix64(&id)); }

}  // namespace

ItemQueue::ItemQueue(ItemQueue&& other) noexcept
    : channel_(other.channel_),
      ring_(std::move(other.ring_)),
      head_(other.head_),
      size_(std::exchange(other.size_, 0)),
      index_(std::move(other.index_)) {}

ItemQueue::~ItemQueue() {
  for (size_t i = 0; i < size_; ++i) std::free((*this)[i].data);
}

PooledItem* ItemQueue::Find(uint64_t id) {
  if (index_.empty()) return nullptr;
  const size_t mask = index_.size() - 1;
  const uint32_t hash = HashOf(id);
  for (size_t at = hash & mask; index_[at].place != 0; at = (at + 1) & mask)
    if (index_[at].hash == hash && ring_[index_[at].place - 1].id == id) return &ring_[index_[at].place - 1];
  return nullptr;
}

void ItemQueue::Enter(uint32_t place) {
  const size_t mask = index_.size() - 1;
  const uint32_t hash = HashOf(ring_[place].id);
  size_t at = hash & mask;
  while (index_[at].place != 0) at = (at + 1) & mask;
  index_[at] = {hash, place + 1};
}

// From the index: those behind it in its run move up, so that no marks are left that would slow down later looks.
void ItemQueue::RemoveOldest() {
  const size_t mask = index_.size() - 1;
  size_t hole = HashOf(ring_[head_].id) & mask;
  while (index_[hole].place != head_ + 1) hole = (hole + 1) & mask;
  for (size_t at = (hole + 1) & mask; index_[at].place != 0; at = (at + 1) & mask) {
    if (((at - index_[at].hash) & mask) < ((at - hole) & mask)) continue;
    index_[hole] = index_[at];
    hole = at;
  }
  index_[hole] = {0, 0};
}

void ItemQueue::Grow() {
  std::vector<PooledItem> larger(ring_.empty() ? 8 : ring_.size() * 2);
  for (size_t i = 0; i < size_; ++i) larger[i] = (*this)[i];
  ring_.swap(larger);
  head_ = 0;
  index_.assign(ring_.size() * 2, {0, 0});
  for (size_t i = 0; i < size_; ++i) Enter(static_cast<uint32_t>(i));
}

PooledItem* ItemQueue::Append(uint64_t id, std::string_view fids, std::string_view columns, size_t most) {
  const size_t bytes = fids.size() + columns.size();
  if (bytes > UINT32_MAX) throw Error(ErrorCode::kBadData, "an item of more than 4 GiB");
  char* memory = nullptr;
  if (size_ >= most) {
    PooledItem& oldest = (*this)[0];
    RemoveOldest();
    memory = std::exchange(oldest.data, nullptr);
    head_ = (head_ + 1) & (ring_.size() - 1);
    --size_;
  }
  if (bytes > 0 || memory) {
    char* fitting = static_cast<char*>(std::realloc(memory, bytes ? bytes : 1));
    if (!fitting) std::free(memory);
    if (!fitting) throw std::bad_alloc();
    memory = fitting;
  }
  if (size_ == ring_.size()) Grow();
  PooledItem& item = (*this)[size_];
  item = {id, memory, static_cast<uint32_t>(bytes), static_cast<uint32_t>(fids.size()), 0, 0};
  if (!fids.empty()) std::memcpy(memory, fids.data(), fids.size());
  if (!columns.empty()) std::memcpy(memory + fids.size(), columns.data(), columns.size());
  ++size_;
  Enter(static_cast<uint32_t>((head_ + size_ - 1) & (ring_.size() - 1)));
  return &item;
}

}  // namespace monolith
