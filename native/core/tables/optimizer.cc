#include "core/tables/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/tables/compressors/compressor_type.h"
#include "core/tables/key_hash.h"
#include "core/tables/optimizers/optimizer_type.h"
#include "core/tables/optimizers/stochastic_rounding.h"

namespace monolith {

RowPlan::RowPlan(const TableConfig& config) : dim_(config.dim()), serving_(config.serving), seed_(config.seed) {
  int weights = 0, state = dim_;
  size_t compressed = 0;
  for (const SegmentConfig& s : config.segments) {
    const OptimizerType& type = TypeOf(s.optimizer.kind);
    const CompressorType& codec = TypeOf(s.compressor.kind);
    const int state_size = serving_ ? 0 : type.StateSize(s.dim);
    segments_.push_back({s.dim, weights, state, state_size, compressed, s.initializer, s.optimizer, s.compressor, &type, &codec,
                         type.step(s.dim), std::make_shared<std::atomic<float>>(s.compressor.init_scale)});
    raw_ = raw_ && (serving_ ? &codec == &kFp32Type : !codec.forward);
    changes_gradients_ = changes_gradients_ || codec.backward;
    plain_steps_ = plain_steps_ && !codec.backward && !s.optimizer.stochastic_rounding_float16;
    reads_global_step_ = reads_global_step_ || &type == &kBatchSoftmaxType || &codec == &kOneBitType;
    weights += s.dim;
    state += state_size;
    compressed += size_t(s.dim) * codec.bytes;
  }
  row_floats_ = state;
  row_bytes_ = serving_ ? compressed : size_t(row_floats_) * sizeof(float);
  lookup_bytes_ = serving_ ? compressed : size_t(dim_) * sizeof(float);
}

void RowPlan::InitWeights(int64_t key, void* row) const {
  if (serving_) return;
  float* floats = static_cast<float*>(row);
  for (const SegmentPlan& p : segments_) {
    if (p.initializer.kind == InitializerConfig::Kind::kConstant)
      std::fill_n(floats + p.weights, p.dim, p.initializer.constant);
    else
      FillUniform(seed_, key, p.weights, p.dim, p.initializer.minval, p.initializer.maxval, floats + p.weights);
  }
}

void RowPlan::InitState(void* row) const {
  if (serving_) return;
  float* floats = static_cast<float*>(row);
  for (const SegmentPlan& p : segments_) {
    for (const StateField& f : p.type->state) {
      if (!f.number) break;
      std::fill_n(floats + p.state + f.Offset(p.dim), f.Floats(p.dim), f.initial ? p.optimizer.*f.initial : 0.f);
    }
  }
}

void RowPlan::FillEncoded(const char* row, float* out) const {
  if (serving_) {
    for (const SegmentPlan& p : segments_)
      p.codec->decode(p.compressor, row + p.compressed, static_cast<size_t>(p.dim), out + p.weights);
    return;
  }
  std::memcpy(out, row, lookup_bytes_);
  for (const SegmentPlan& p : segments_)
    if (p.codec->forward) p.codec->forward(p, out + p.weights);
}

void RowPlan::Encode(const float* values, char* row) const {
  for (const SegmentPlan& p : segments_)
    p.codec->encode(p.compressor, values + p.weights, static_cast<size_t>(p.dim), row + p.compressed);
}

void RowPlan::AssignAdd(const float* values, void* row) const {
  if (!serving_) {
    float* weights = static_cast<float*>(row);
    for (int d = 0; d < dim_; ++d) weights[d] += values[d];
    return;
  }
  constexpr size_t kPart = 256;
  float part[kPart];
  for (const SegmentPlan& p : segments_) {
    const size_t dim = static_cast<size_t>(p.dim);
    for (size_t begin = 0; begin < dim; begin += kPart) {
      const size_t n = std::min(kPart, dim - begin);
      char* bytes = static_cast<char*>(row) + p.compressed + begin * p.codec->bytes;
      const float* v = values + static_cast<size_t>(p.weights) + begin;
      p.codec->decode(p.compressor, bytes, n, part);
      for (size_t i = 0; i < n; ++i) part[i] += v[i];
      p.codec->encode(p.compressor, part, n, bytes);
    }
  }
}

StepBatch RowPlan::StartSteps(const float* learning_rates, uint32_t now, int64_t global_step, float* scratch) const {
  for (const SegmentPlan& p : segments_) {
    const CompressorConfig& c = p.compressor;
    if (p.codec != &kOneBitType || global_step % c.step_size != 0) continue;
    const float grown = c.init_scale * std::sqrt(1 + 0.005f * static_cast<float>(global_step));
    p.scale->store(std::min(grown, c.max_scale), std::memory_order_relaxed);
  }
  return {learning_rates, global_step, plain_steps_ ? 0 : RoundingStart(seed_, now, global_step), scratch};
}

void RowPlan::StepOthers(int64_t key, float* row, const float* grad, const StepBatch& batch) const {
  for (size_t s = 0; s < segments_.size(); ++s) {
    const SegmentPlan& p = segments_[s];
    float* weights = row + p.weights;
    const float* g = grad + p.weights;
    if (p.codec->backward) {
      p.codec->backward(p, weights, g, batch.scratch);
      g = batch.scratch;
    }
    p.step(p, weights, row + p.state, g, batch.learning_rates[s], batch.global_step);
    if (p.optimizer.stochastic_rounding_float16) RoundToHalves(batch.random, key, p.weights, weights, p.dim);
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
