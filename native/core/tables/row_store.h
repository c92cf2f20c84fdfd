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

  // A slab holds the timestamps of its rows, then the rows.
  float* Row(uint32_t row) const {
    return reinterpret_cast<float*>(Slab(row) + rows_offset_ + size_t{row & slab_mask_} * stride_);
  }
  uint32_t* Timestamp(uint32_t row) const { return reinterpret_cast<uint32_t*>(Slab(row)) + (row & slab_mask_); }

  uint32_t Allocate();
  size_t rows() const { return next_.load(std::memory_order_relaxed); }
  size_t memory_bytes() const { return rows() * (stride_ + sizeof(uint32_t)); }
  size_t stride() const { return stride_; }

 private:
  char* Slab(uint32_t row) const {
    return slabs_[row >> slab_shift_].load(std::memory_order_acquire);
  }
  void MapSlab(size_t slab);

  size_t stride_;  // bytes from row to row
  int slab_shift_;
  uint32_t slab_mask_;
  size_t rows_offset_, slab_bytes_, max_slabs_;
  std::atomic<char*>* slabs_;  // mapped for all slabs there can be, touched as they come
  std::atomic<uint64_t> next_{0};
  std::mutex mutex_;  // guards the mapping of slabs
  std::vector<std::pair<char*, size_t>> chunks_;
  size_t mapped_slabs_ = 0;
};

}  // namespace monolith
