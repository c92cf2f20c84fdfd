// Which keys changed since somebody last asked (spec 30, section 9): a set that forgets everything when it has grown too large.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace monolith {

class TouchedKeySet {
 public:
  static constexpr uint64_t kDefaultCapacity = 2097152;
  static constexpr int64_t kDefaultConcurrency = 1024;

  // A key, and the table it is in: an address that is compared and never read.
  struct Entry {
    int64_t key;
    const void* table;
  };

  // Holds capacity + 1 keys at most, but for one more of each thread that inserts at that moment. Memory is taken as keys come.
  // concurrency_level: threads that hardly ever wait for each other, above 0. Throws Error(kConfig).
  explicit TouchedKeySet(int64_t capacity = kDefaultCapacity, int64_t concurrency_level = kDefaultConcurrency);
  ~TouchedKeySet();

  // Inserts keys one after the other; before each the set is emptied if it holds more than `capacity`. Returns how many keys
  // were dropped so. From any thread.
  uint64_t Insert(const int64_t* keys, size_t n, const void* table = nullptr);

  // All keys, each once and in no order; the set is empty then.
  std::vector<Entry> Steal();

  uint64_t size() const { return size_.load(std::memory_order_relaxed); }
  uint64_t capacity() const { return capacity_; }

 private:
  struct Shard;
  class AllLocked;
  uint64_t DropIfFull();
  Shard& ShardOf(uint64_t hash) const;

  const uint64_t capacity_;
  const size_t num_shards_;  // a power of two
  std::unique_ptr<Shard[]> shards_;
  std::atomic<uint64_t> size_{0};
};

}  // namespace monolith
