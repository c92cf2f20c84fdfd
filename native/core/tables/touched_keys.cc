#include "core/tables/touched_keys.h"

#include <algorithm>
#include <string>

#include "core/base/error.h"
#include "core/tables/key_hash.h"

namespace monolith {
namespace {

using Entry = TouchedKeySet::Entry;

// Stands in cells without a key: no table is there.
const char kNoTable = 0;
bool Empty(const Entry& e) { return e.table == &kNoTable; }

uint64_t HashOf(int64_t key, const void* table) {
  return HashKey(key ^ static_cast<int64_t>(reinterpret_cast<uintptr_t>(table) * 0x9e3779b97f4a7c15));
}

uint64_t CheckedCapacity(int64_t capacity) {
  if (capacity < 0) throw Error(ErrorCode::kConfig, "capacity of a set of touched keys must not be negative: " + std::to_string(capacity));
  return static_cast<uint64_t>(capacity);
}

// As many shards as threads are expected, but none for less than a few keys.
size_t ShardsFor(uint64_t capacity, int64_t concurrency_level) {
  if (concurrency_level < 1)
    throw Error(ErrorCode::kConfig, "concurrency_level of a set of touched keys must be above 0, not " + std::to_string(concurrency_level));
  constexpr size_t kMostShards = 1024, kKeysPerShard = 16;
  size_t shards = 1;
  while (shards < kMostShards && shards < static_cast<uint64_t>(concurrency_level) && 2 * shards * kKeysPerShard <= capacity) shards *= 2;
  return shards;
}

}  // namespace

// Open addressing, never fuller than three quarters.
struct alignas(64) TouchedKeySet::Shard {
  std::mutex mutex;
  std::vector<Entry> cells;
  size_t count = 0;

  bool Insert(uint64_t hash, const Entry& entry) {
    if (4 * (count + 1) > 3 * cells.size()) Grow();
    Entry* cell = Find(hash, entry);
    if (!Empty(*cell)) return false;
    *cell = entry;
    ++count;
    return true;
  }
  void Clear() {
    std::fill(cells.begin(), cells.end(), Entry{0, &kNoTable});
    count = 0;
  }

 private:
  Entry* Find(uint64_t hash, const Entry& entry) {
    const size_t mask = cells.size() - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask)
      if (Empty(cells[at]) || (cells[at].key == entry.key && cells[at].table == entry.table)) return &cells[at];
  }
  void Grow() {
    std::vector<Entry> old(std::max<size_t>(16, 2 * cells.size()), Entry{0, &kNoTable});
    old.swap(cells);
    for (const Entry& e : old)
      if (!Empty(e)) *Find(HashOf(e.key, e.table), e) = e;
  }
};

class TouchedKeySet::AllLocked {
 public:
  explicit AllLocked(TouchedKeySet& set) : set_(set) {
    for (size_t i = 0; i < set.num_shards_; ++i) set.shards_[i].mutex.lock();
  }
  ~AllLocked() {
    for (size_t i = set_.num_shards_; i > 0; --i) set_.shards_[i - 1].mutex.unlock();
  }
  AllLocked(const AllLocked&) = delete;
  AllLocked& operator=(const AllLocked&) = delete;

 private:
  TouchedKeySet& set_;
};

TouchedKeySet::TouchedKeySet(int64_t capacity, int64_t concurrency_level)
    : capacity_(CheckedCapacity(capacity)),
      num_shards_(ShardsFor(capacity_, concurrency_level)),
      shards_(std::make_unique<Shard[]>(num_shards_)) {}

TouchedKeySet::~TouchedKeySet() = default;

// The high half chooses the shard, the low half the cell in it.
TouchedKeySet::Shard& TouchedKeySet::ShardOf(uint64_t hash) const { return shards_[(hash >> 32) & (num_shards_ - 1)]; }

uint64_t TouchedKeySet::DropIfFull() {
  const AllLocked all(*this);
  const uint64_t size = size_.load(std::memory_order_relaxed);
  if (size <= capacity_) return 0;  // another thread has dropped them
  for (size_t i = 0; i < num_shards_; ++i) shards_[i].Clear();
  size_.store(0, std::memory_order_relaxed);
  return size;
}

uint64_t TouchedKeySet::Insert(const int64_t* keys, size_t n, const void* table) {
  uint64_t dropped = 0;
  for (size_t i = 0; i < n; ++i) {
    if (size_.load(std::memory_order_relaxed) > capacity_) dropped += DropIfFull();
    const uint64_t hash = HashOf(keys[i], table);
    Shard& shard = ShardOf(hash);
    std::lock_guard<std::mutex> lock(shard.mutex);
    if (shard.Insert(hash, {keys[i], table})) size_.fetch_add(1, std::memory_order_relaxed);
  }
  return dropped;
}

std::vector<TouchedKeySet::Entry> TouchedKeySet::Steal() {
  const AllLocked all(*this);
  std::vector<Entry> stolen;
  stolen.reserve(size_.load(std::memory_order_relaxed));
  for (size_t i = 0; i < num_shards_; ++i) {
    for (const Entry& e : shards_[i].cells)
      if (!Empty(e)) stolen.push_back(e);
    shards_[i].Clear();
  }
  size_.store(0, std::memory_order_relaxed);
  return stolen;
}

}  // namespace monolith
