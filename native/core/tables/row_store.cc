#include "core/tables/row_store.h"

#include <sys/mman.h>

#include <algorithm>
#include <string>

#include "core/base/error.h"

namespace monolith {
namespace {

constexpr size_t kSlabBytes = size_t{32} << 20;
constexpr size_t kMaxRows = 0xfffffff0;

// Rows start on the largest power of two that costs at most 2 % of padding, so that they touch few cache lines.
size_t Stride(size_t bytes) {
  for (size_t a : {64, 32, 16, 8}) {
    const size_t padded = (bytes + a - 1) / a * a;
    if ((padded - bytes) * 50 <= bytes) return padded;
  }
  return bytes;
}

}  // namespace

void* MapMemory(size_t bytes, bool huge) {
  const size_t slack = huge ? kHugePage : 0;
  void* m = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED)
    throw Error(ErrorCode::kUnavailable, "cannot get " + std::to_string(bytes) + " bytes of memory for an embedding table");
  if (!huge) return m;
  char* begin = static_cast<char*>(m);
  char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(begin) + kHugePage - 1) & ~(kHugePage - 1));
  if (aligned != begin) munmap(begin, aligned - begin);
  if (aligned + bytes != begin + bytes + slack) {
    char* end = aligned + (bytes + 4095) / 4096 * 4096;
    if (end < begin + bytes + slack) munmap(end, begin + bytes + slack - end);
  }
  madvise(aligned, bytes, MADV_HUGEPAGE);
  return aligned;
}

void UnmapMemory(void* p, size_t bytes) { munmap(p, bytes); }

RowStore::RowStore(size_t row_bytes) : locks_(new RowLock[kRowLocks]) {
  const size_t stride = Stride(row_bytes);
  int shift = 6;
  while ((stride << (shift + 1)) <= kSlabBytes) ++shift;
  rows_offset_ = (size_t{1} << shift) * sizeof(uint32_t);
  slab_bytes_ = (rows_offset_ + (stride << shift) + 4095) / 4096 * 4096;
  max_slabs_ = (size_t{1} << 32) >> shift;
  slabs_ = static_cast<std::atomic<char*>*>(MapMemory(max_slabs_ * sizeof(*slabs_), false));
  address_ = {slabs_, locks_.get(), stride, shift, (1u << shift) - 1};
}

RowStore::~RowStore() {
  for (auto [p, bytes] : chunks_) UnmapMemory(p, bytes);
  UnmapMemory(slabs_, max_slabs_ * sizeof(*slabs_));
}

uint32_t RowStore::Allocate() {
  const uint64_t row = next_.fetch_add(1, std::memory_order_relaxed);
  if (row >= kMaxRows) {
    next_.fetch_sub(1, std::memory_order_relaxed);
    throw Error(ErrorCode::kConfig, "an embedding table is full: it holds 2^32 rows");
  }
  if (!address_.Slab(static_cast<uint32_t>(row))) MapSlab(row >> address_.shift);
  return static_cast<uint32_t>(row);
}

// Slabs are mapped in growing runs, one behind the other, so that neighbours share their huge pages and nothing is rounded up.
void RowStore::MapSlab(size_t slab) {
  std::lock_guard<std::mutex> lock(mutex_);
  while (mapped_slabs_ <= slab) {
    const size_t run = std::min({std::max<size_t>(mapped_slabs_, 1), size_t{64}, max_slabs_ - mapped_slabs_});
    const size_t bytes = run * slab_bytes_;
    char* p = static_cast<char*>(MapMemory(bytes, true));
    // A table of a few rows must not cost a huge page: its first pages are ordinary ones.
    if (mapped_slabs_ == 0) {
      madvise(p, std::min(bytes, kHugePage * 2), MADV_NOHUGEPAGE);
    }
    chunks_.emplace_back(p, bytes);
    for (size_t i = 0; i < run; ++i) slabs_[mapped_slabs_++].store(p + i * slab_bytes_ + rows_offset_, std::memory_order_release);
  }
}

}  // namespace monolith
