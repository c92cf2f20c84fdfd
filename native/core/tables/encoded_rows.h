// Reading rows that are bytes.
#pragma once

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/tables/optimizer.h"
#include "core/tables/pipeline.h"

namespace monolith {

// Bytes that a writer may be changing meanwhile; the caller finds out by the row's lock and reads again.
__attribute__((no_sanitize("thread"))) inline void CopyBytes(void* out, const void* in, size_t n) {
#ifdef MONOLITH_TSAN
  // Volatile, or it would become the call of memcpy that the sanitizer watches.
  const volatile char* from = static_cast<const volatile char*>(in);
  for (size_t i = 0; i < n; ++i) static_cast<char*>(out)[i] = from[i];
#else
  std::memcpy(out, in, n);
#endif
}

// Copies a row; waits for nothing but a writer of this very row.
inline void CopyWholeBytes(const RowStore::Address& rows, uint32_t row_number, const void* row, void* out, size_t bytes) {
  const RowLock& lock = rows.Lock(row_number);
  for (;;) {
    const uint64_t before = lock.word.load(std::memory_order_acquire);
    CopyBytes(out, row, bytes);
    LoadBarrier();
    if (__builtin_expect(RowLock::Unchanged(before, lock.word.load(std::memory_order_acquire), row_number), 1)) return;
    Pause();
  }
}

// Room for the copy of one row.
class RowBuffer {
 public:
  explicit RowBuffer(size_t bytes) : heap_(bytes > sizeof stack_ ? bytes : 0) {}
  RowBuffer(const RowBuffer&) = delete;
  RowBuffer& operator=(const RowBuffer&) = delete;
  char* data() { return heap_.empty() ? stack_ : heap_.data(); }

 private:
  alignas(64) char stack_[4096];
  std::vector<char> heap_;
};

// Throws what forbids a step: a table for serving, or a step before the first one where steps are counted.
inline void CheckSteps(const std::string& table, const RowPlan& plan, int64_t global_step) {
  if (plan.serving())
    throw Error(ErrorCode::kUsage, "table '" + table + "' is for serving: it has no optimizers; make it with entry_type TRAINING");
  if (global_step < 0 && plan.reads_global_step())
    throw Error(ErrorCode::kUsage, "table '" + table + "': batch_softmax and one_bit count steps, global_step " +
                                       std::to_string(global_step) + " must not be negative");
}

}  // namespace monolith
