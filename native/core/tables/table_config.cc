#include "core/tables/table_config.h"

#include <cmath>
#include <tuple>

#include "core/base/error.h"
#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

[[noreturn]] void Fail(const std::string& table, const std::string& what) {
  throw Error(ErrorCode::kConfig, "table '" + table + "': " + what);
}

auto Tie(const OptimizerConfig& o) {
  return std::tie(o.kind, o.initial_accumulator_value, o.weight_decay_factor, o.beta, o.l1, o.l2, o.beta1, o.beta2,
                  o.epsilon, o.momentum, o.averaging_ratio, o.use_nesterov, o.stochastic_rounding_float16);
}
auto Tie(const InitializerConfig& i) { return std::tie(i.kind, i.constant, i.minval, i.maxval); }
auto Tie(const CompressorConfig& c) { return std::tie(c.kind, c.r, c.step_size, c.init_scale, c.max_scale, c.amplitude); }

bool operator==(const SegmentConfig& a, const SegmentConfig& b) {
  return a.dim == b.dim && Tie(a.initializer) == Tie(b.initializer) && Tie(a.optimizer) == Tie(b.optimizer) &&
         Tie(a.compressor) == Tie(b.compressor);
}

void CheckCompressor(const std::string& table, const CompressorConfig& c) {
  using Kind = CompressorConfig::Kind;
  // A range so small that its 128th part is 0 cannot be divided by.
  if (c.kind == Kind::kFixedR8 && !(std::isfinite(c.r) && c.r / 256 > 0))
    Fail(table, "compressor fixed_r8: r " + std::to_string(c.r) + " must be above 0");
  if (c.kind != Kind::kOneBit) return;
  if (c.step_size < 1)
    Fail(table, "compressor one_bit: step_size " + std::to_string(c.step_size) + " must be at least 1");
  if (!std::isfinite(c.init_scale) || !std::isfinite(c.max_scale) || !std::isfinite(c.amplitude))
    Fail(table, "compressor one_bit: init_scale, max_scale and amplitude must be finite");
}

}  // namespace

int TableConfig::dim() const {
  int d = 0;
  for (const auto& s : segments) d += s.dim;
  return d;
}

int TableConfig::state_size() const {
  int n = 0;
  for (const auto& s : segments) n += StateSize(s.optimizer, s.dim);
  return n;
}

bool operator==(const TableConfig& a, const TableConfig& b) {
  if (a.segments.size() != b.segments.size()) return false;
  for (size_t i = 0; i < a.segments.size(); ++i)
    if (!(a.segments[i] == b.segments[i])) return false;
  const auto tie = [](const TableConfig& c) {
    return std::tie(c.name, c.serving, c.skip_zero_embedding, c.initial_capacity, c.default_expire_days, c.slot_expire_days,
                    c.enable_feature_eviction, c.feature_evict_every_n_hours, c.seed);
  };
  return tie(a) == tie(b);
}

int StateSize(const OptimizerConfig& optimizer, int dim) { return TypeOf(optimizer.kind).StateSize(dim); }

const char* OptimizerName(OptimizerConfig::Kind kind) { return TypeOf(kind).name; }

void ValidateTableConfig(const TableConfig& c) {
  constexpr int kMaxDim = 1 << 20;
  if (c.segments.empty()) Fail(c.name, "entry_config has no segments");
  int64_t dim = 0;
  for (const auto& s : c.segments) {
    if (s.dim < 1 || s.dim > kMaxDim) Fail(c.name, "dim_size " + std::to_string(s.dim) + " of a segment is not in 1.." + std::to_string(kMaxDim));
    dim += s.dim;
    if (s.optimizer.kind == OptimizerConfig::Kind::kBatchSoftmax && s.dim != 1)
      Fail(c.name, "optimizer batch_softmax has one weight a key: dim_size must be 1, not " + std::to_string(s.dim));
    if (s.initializer.kind == InitializerConfig::Kind::kRandomUniform && !(s.initializer.minval <= s.initializer.maxval))
      Fail(c.name, "random_uniform: minval " + std::to_string(s.initializer.minval) + " is above maxval " +
                       std::to_string(s.initializer.maxval));
    CheckCompressor(c.name, s.compressor);
  }
  if (dim > kMaxDim) Fail(c.name, "the dims of the segments sum to more than " + std::to_string(kMaxDim));
  if (c.skip_zero_embedding && !c.serving)
    Fail(c.name, "skip_zero_embedding is for serving tables alone: a training table keeps every key");
  if (c.enable_feature_eviction && c.feature_evict_every_n_hours < 1)
    Fail(c.name, "feature_evict_every_n_hours " + std::to_string(c.feature_evict_every_n_hours) + " must be at least 1");
  for (const auto& [slot, days] : c.slot_expire_days)
    if (slot >= 1u << 15) Fail(c.name, "slot_expire_time_config: slot " + std::to_string(slot) + " is above 32767");
}

}  // namespace monolith
