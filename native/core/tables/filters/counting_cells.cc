#include "core/tables/filters/counting_cells.h"

#include <sys/mman.h>

#include <string>
#include <utility>

#include "core/base/error.h"

namespace monolith {

// Mapped, so that cells nobody has counted in take no memory, nor does emptying them take time.
CountingCells::CountingCells(uint64_t total_size) : total_size_(total_size), cells_(nullptr) {
  const size_t bytes = size() * sizeof(uint16_t);
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    throw Error(ErrorCode::kConfig, "an occurrence filter cannot get " + std::to_string(bytes >> 20) +
                                        " MiB of memory; choose a smaller filter_capacity");
  constexpr size_t kWorthHugePages = size_t{4} << 20;
  if (bytes >= kWorthHugePages) madvise(p, bytes, MADV_HUGEPAGE);
  cells_ = static_cast<uint16_t*>(p);
}

CountingCells::~CountingCells() { Free(); }

void CountingCells::Free() {
  if (cells_) munmap(cells_, size() * sizeof(uint16_t));
}

CountingCells::CountingCells(CountingCells&& other) noexcept
    : total_size_(other.total_size_), cells_(std::exchange(other.cells_, nullptr)) {}

CountingCells& CountingCells::operator=(CountingCells&& other) noexcept {
  if (this == &other) return *this;
  Free();
  total_size_ = other.total_size_;
  cells_ = std::exchange(other.cells_, nullptr);
  return *this;
}

void CountingCells::Clear() { madvise(cells_, size() * sizeof(uint16_t), MADV_DONTNEED); }

}  // namespace monolith
