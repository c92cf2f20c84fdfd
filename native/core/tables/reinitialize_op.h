// What EmbeddingTable::Reinitialize does to one row; see row_ops.h.
#pragma once

#include <cstring>

#include "core/tables/optimizer.h"

namespace monolith {

struct ReinitializeOp {
  const RowPlan& plan;
  const int64_t* keys;
  uint32_t now;
  int32_t* status;
  uint32_t Timestamp(size_t) const { return now; }
  void Existing(size_t i, void* row) const {
    std::memset(row, 0, plan.row_bytes());
    Init(keys[i], row);
    status[i] = 1;
  }
  void Fresh(size_t i, int64_t key, void* row) const {
    Init(key, row);
    status[i] = 0;
  }

 private:
  void Init(int64_t key, void* row) const {
    plan.InitWeights(key, row);
    plan.InitState(row);
  }
};

}  // namespace monolith
