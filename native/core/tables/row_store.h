// The rows of one table: fixed-size records in slabs on huge pages, addressed by a 32-bit number and never moved.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace monolith {

// Anonymous memory; from 4 MiB on it is aligned to and backed by huge pages. Throws Error(kUnavailable) when there is none.
void* MapMemory(size_t bytes, bool huge);
void UnmapMemory(void* p, size_t bytes);
inline constexpr size_t kHugePage = size_t{2} << 20;

class RowStore {
 public:
  explicit RowStore(int row_floats);
  ~RowStore();
  RowStore(const RowStore&) = delete;
  RowStore& operator=(const RowStore&) = delete;

  // Where rows are, by value: loops keep it in registers. A slab holds the timestamps of its rows, last row first, then
  // the rows; its pointer is to the rows.
  struct Address {
    const std::atomic<char*>* slabs;
    size_t stride;  // bytes from row to row
    int shift;
    uint32_t mask;

    char* Slab(uint32_t row) const { return slabs[row >> shift].load(std::memory_order_acquire); }
    float* Row(uint32_t row) const { return reinterpret_cast<float*>(Slab(row) + size_t{row & mask} * stride); }
    uint32_t* Timestamp(uint32_t row) const { return reinterpret_cast<uint32_t*>(Slab(row)) - 1 - (row & mask); }
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
  size_t rows_offset_, slab_bytes_, max_slabs_;
  std::atomic<char*>* slabs_;  // mapped for all slabs there can be, touched as they come
  std::atomic<uint64_t> next_{0};
  std::mutex mutex_;  // guards the mapping of slabs
  std::vector<std::pair<char*, size_t>> chunks_;
  size_t mapped_slabs_ = 0;
};

}  // namespace monolith
