#include "core/tables/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/tables/key_hash.h"

#if defined(__GNUC__) && !defined(__clang__)
// sqrtf as one instruction, selects instead of branches: what the loops below need to become vector code.
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math")
#endif

namespace monolith {
namespace {

using Plan = SegmentPlan;

// kDim > 0 fixes the length, so that the common ones run without loop overhead.
template <int kDim>
void SgdStep(const Plan& p, float* __restrict w, float*, const float* __restrict g, float lr) {
  const int n = kDim ? kDim : p.dim;
  for (int i = 0; i < n; ++i) w[i] -= lr * g[i];
}

template <int kDim>
void AdagradStep(const Plan& p, float* __restrict w, float* __restrict norm, const float* __restrict g, float lr) {
  const int n = kDim ? kDim : p.dim;
  const float decay = p.optimizer.weight_decay_factor;
  for (int i = 0; i < n; ++i) {
    const float q = g[i] + decay * w[i];
    const float a = norm[i] + q * q;
    norm[i] = a;
    w[i] -= lr / std::sqrt(a) * q;
  }
}

template <int kDim>
void FtrlStep(const Plan& p, float* __restrict w, float* __restrict state, const float* __restrict g, float lr) {
  // A rate of 0 (the first step of a warm-up) would divide 0 by 0; no step is what it means.
  if (lr == 0) return;
  const int n = kDim ? kDim : p.dim;
  float* __restrict norm = state;
  float* __restrict zero = state + n;
  const float l1 = p.optimizer.l1, beta = p.optimizer.beta, l2lr = p.optimizer.l2 * lr;
  for (int i = 0; i < n; ++i) {
    const float old_root = std::sqrt(norm[i]);
    const float a = norm[i] + g[i] * g[i];
    const float root = std::sqrt(a);
    const float z = zero[i] + g[i] - (root - old_root) / lr * w[i];
    norm[i] = a;
    zero[i] = z;
    const float shrunk = lr * (std::copysign(l1, z) - z) / (root + beta + l2lr);
    w[i] = std::fabs(z) <= l1 ? 0.f : shrunk;
  }
}

template <int kDim>
void AdamStep(const Plan& p, float* __restrict w, float* __restrict state, const float* __restrict g, float lr) {
  const int n = kDim ? kDim : p.dim;
  float* __restrict m = state;
  float* __restrict v = state + n;
  float* power = state + 2 * n;
  const OptimizerConfig& o = p.optimizer;
  const float rate = lr * std::sqrt(1 - power[1]) / (1 - power[0]);
  const float c1 = 1 - o.beta1, c2 = 1 - o.beta2;
  // Plain: the direction is m'. Nesterov: (1 - beta1) q + beta1 m'.
  const float from_q = o.use_nesterov ? c1 : 0.f, from_m = o.use_nesterov ? o.beta1 : 1.f;
  for (int i = 0; i < n; ++i) {
    const float q = g[i] + o.weight_decay_factor * w[i];
    m[i] += (q - m[i]) * c1;
    v[i] += (q * q - v[i]) * c2;
    w[i] -= rate * (from_q * q + from_m * m[i]) / (std::sqrt(v[i]) + o.epsilon);
  }
  power[0] *= o.beta1;
  power[1] *= o.beta2;
}

template <int kDim>
decltype(SegmentPlan::step) StepOf(OptimizerConfig::Kind kind) {
  switch (kind) {
    case OptimizerConfig::Kind::kSgd: return SgdStep<kDim>;
    case OptimizerConfig::Kind::kAdagrad: return AdagradStep<kDim>;
    case OptimizerConfig::Kind::kFtrl: return FtrlStep<kDim>;
    case OptimizerConfig::Kind::kAdam: return AdamStep<kDim>;
  }
  return nullptr;
}

decltype(SegmentPlan::step) StepOf(OptimizerConfig::Kind kind, int dim) {
  switch (dim) {
    case 8: return StepOf<8>(kind);
    case 16: return StepOf<16>(kind);
    case 32: return StepOf<32>(kind);
    case 64: return StepOf<64>(kind);
  }
  return StepOf<0>(kind);
}

}  // namespace

RowPlan::RowPlan(const TableConfig& config) : dim_(config.dim()), seed_(config.seed) {
  int weights = 0, state = dim_;
  for (const SegmentConfig& s : config.segments) {
    const int state_size = StateSize(s.optimizer, s.dim);
    segments_.push_back({s.dim, weights, state, state_size, s.initializer, s.optimizer, StepOf(s.optimizer.kind, s.dim)});
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
    float* state = row + p.state;
    const OptimizerConfig& o = p.optimizer;
    switch (o.kind) {
      case OptimizerConfig::Kind::kSgd:
        break;
      case OptimizerConfig::Kind::kAdagrad:
        std::fill_n(state, p.dim, o.initial_accumulator_value);
        break;
      case OptimizerConfig::Kind::kFtrl:
        std::fill_n(state, p.dim, o.initial_accumulator_value);
        std::fill_n(state + p.dim, p.dim, 0.f);
        break;
      case OptimizerConfig::Kind::kAdam:
        std::fill_n(state, 2 * p.dim, 0.f);
        state[2 * p.dim] = o.beta1;
        state[2 * p.dim + 1] = o.beta2;
        break;
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
