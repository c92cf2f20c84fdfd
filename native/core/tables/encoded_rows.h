// Reading rows that are bytes.
#pragma once

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/tables/optimizer.h"

namespace monolith {

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

inline Error ServingNotSaved(const std::string& table) {
  return Error(ErrorCode::kUsage, "table '" + table +
                                      "' is for serving: its rows have lost what a checkpoint holds, so it is not saved");
}

// Throws what forbids a step: a table for serving, or a step before the first one where steps are counted.
inline void CheckSteps(const std::string& table, const RowPlan& plan, int64_t global_step) {
  if (plan.serving())
    throw Error(ErrorCode::kUsage, "table '" + table + "' is for serving: it has no optimizers; make it with entry_type TRAINING");
  if (global_step < 0 && plan.reads_global_step())
    throw Error(ErrorCode::kUsage, "table '" + table + "': batch_softmax and one_bit count steps, global_step " +
                                       std::to_string(global_step) + " must not be negative");
}

}  // namespace monolith
