#include "core/tables/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/tables/key_hash.h"
#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {

RowPlan::RowPlan(const TableConfig& config) : dim_(config.dim()), seed_(config.seed) {
  int weights = 0, state = dim_;
  for (const SegmentConfig& s : config.segments) {
    const OptimizerType& type = TypeOf(s.optimizer.kind);
    const int state_size = type.StateSize(s.dim);
    segments_.push_back(
        {s.dim, weights, state, state_size, s.initializer, s.optimizer, &type, type.step(s.dim)});
    reads_global_step_ = reads_global_step_ || &type == &kBatchSoftmaxType;
    weights += s.dim;
    state += state_size;
  }
  row_floats_ = state;
}

void RowPlan::InitWeights(int64_t key, float* row) const {
  for (const SegmentPlan& p : segments_) {
    if (p.initializer.kind == InitializerConfig::Kind::kConstant)
      std::fill_n(row + p.weights, p.dim, p.initializer.constant);
    else
      FillUniform(seed_, key, p.weights, p.dim, p.initializer.minval, p.initializer.maxval, row + p.weights);
  }
}

void RowPlan::InitState(float* row) const {
  for (const SegmentPlan& p : segments_) {
    for (const StateField& f : p.type->state) {
      if (!f.number) break;
      std::fill_n(row + p.state + f.Offset(p.dim), f.Floats(p.dim), f.initial ? p.optimizer.*f.initial : 0.f);
    }
  }
}

void FillUniform(uint64_t seed, int64_t key, int first, int n, float minval, float maxval, float* out) {
  const uint64_t base = HashKey(key ^ static_cast<int64_t>(HashKey(static_cast<int64_t>(seed ^ 0x6d6f6e6f6c697468))));
  const float range = maxval - minval;
  // The largest value below maxval: 24 bits times a range may round up to it.
  const float last = std::nextafter(maxval, minval);
  for (int i = 0; i < n; ++i) {
    const uint64_t bits = HashKey(static_cast<int64_t>(base + static_cast<uint64_t>(first + i + 1) * 0x9e3779b97f4a7c15));
    const float u = static_cast<float>(static_cast<int32_t>(bits >> 40)) * 0x1p-24f;
    out[i] = std::min(u * range + minval, last);
  }
}

}  // namespace monolith
