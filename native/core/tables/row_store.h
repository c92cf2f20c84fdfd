// The rows of one table: fixed-size records in slabs on huge pages, addressed by a 32-bit number and never moved.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/tables/pause.h"

namespace monolith {

inline constexpr size_t kRowLocks = 2048;

// Writers of rows exclude each other and are noticed by readers through words that many rows share. They lie in the nearest
// caches, so that an update does not dirty the index, and growth of the index does not concern them. A word names the row
// that is being written, so that readers of other rows need not wait, and counts writes, so that readers notice one that
// came and went.
struct RowLock {
  std::atomic<uint64_t> word{0};  // count of writes << 32 | row + 1, or 0 when none is being written

  static bool Writes(uint64_t w, uint32_t row) { return static_cast<uint32_t>(w) == row + 1; }
  // The row was not written between two readings of the word.
  static bool Unchanged(uint64_t before, uint64_t after, uint32_t row) {
    return (before ^ after) >> 32 == 0 && !Writes(before, row) && !Writes(after, row);
  }
  // Waits for the writer of whatever row has the word; returns what Unlock takes.
  uint64_t Lock(uint32_t row);
  void Unlock(uint64_t held) { word.store(held + (uint64_t{1} << 32), std::memory_order_release); }
};

inline uint64_t RowLock::Lock(uint32_t row) {
  for (unsigned spins = 0;; ++spins) {
    uint64_t w = word.load(std::memory_order_relaxed);
    if (static_cast<uint32_t>(w) == 0 &&
        word.compare_exchange_weak(w, w | (row + 1), std::memory_order_acquire, std::memory_order_relaxed))
      return w;
    if (spins < 64) Pause();
    else YieldCpu();
  }
}

// Anonymous memory; from 4 MiB on it is aligned to and backed by huge pages. Throws Error(kUnavailable) when there is none.
void* MapMemory(size_t bytes, bool huge);
void UnmapMemory(void* p, size_t bytes);
inline constexpr size_t kHugePage = size_t{2} << 20;

class RowStore {
 public:
  explicit RowStore(size_t row_bytes);
  ~RowStore();
  RowStore(const RowStore&) = delete;
  RowStore& operator=(const RowStore&) = delete;

  // Where rows are, by value: loops keep it in registers. A slab holds the timestamps of its rows, last row first, then
  // the rows; its pointer is to the rows.
  struct Address {
    const std::atomic<char*>* slabs;
    RowLock* locks;
    size_t stride;  // bytes from row to row
    int shift;
    uint32_t mask;

    char* Slab(uint32_t row) const { return slabs[row >> shift].load(std::memory_order_acquire); }
    float* Row(uint32_t row) const { return reinterpret_cast<float*>(Slab(row) + size_t{row & mask} * stride); }
    uint32_t* Timestamp(uint32_t row) const { return reinterpret_cast<uint32_t*>(Slab(row)) - 1 - (row & mask); }
    RowLock& Lock(uint32_t row) const { return locks[row % kRowLocks]; }
  };
  const Address& address() const { return address_; }
  float* Row(uint32_t row) const { return address_.Row(row); }
  uint32_t* Timestamp(uint32_t row) const { return address_.Timestamp(row); }

  uint32_t Allocate();
  size_t rows() const { return next_.load(std::memory_order_relaxed); }
  size_t memory_bytes() const { return rows() * (address_.stride + sizeof(uint32_t)); }
  size_t stride() const { return address_.stride; }

 private:
  void MapSlab(size_t slab);

  Address address_;
  std::unique_ptr<RowLock[]> locks_;
  size_t rows_offset_, slab_bytes_, max_slabs_;
  std::atomic<char*>* slabs_;  // mapped for all slabs there can be, touched as they come
  std::atomic<uint64_t> next_{0};
  std::mutex mutex_;  // guards the mapping of slabs
  std::vector<std::pair<char*, size_t>> chunks_;
  size_t mapped_slabs_ = 0;
};

}  // namespace monolith
