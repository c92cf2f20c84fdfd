#include "core/tables/table_config.h"

#include <tuple>

#include "core/base/error.h"
#include "core/tables/optimizers/optimizer_type.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;

// Field numbers of the oneofs of InitializerConfig and FloatCompressorConfig, and the one of OptimizerConfig beside its own.
enum : uint32_t { kZeros = 1, kUniform = 2, kOnes = 3, kConstants = 15 };
enum : uint32_t { kFp32 = 1, kFp16 = 2, kFixedR8 = 3, kOneBit = 4 };
enum : uint32_t { kStochasticRounding = 4 };

// Optimizers that have a config and nothing that would carry it out.
const char* UnimplementedOptimizer(uint32_t number) {
  switch (number) {
    case 5: return "dynamic_wd_adagrad";
    case 13: return "dc";
    case 14: return "group_ftrl";
  }
  return nullptr;
}

std::string_view BytesOf(const Field& f) {
  if (f.type != Type::kBytes) throw BadRecord("field " + std::to_string(f.number) + " has the wrong wire type");
  return f.bytes;
}

[[noreturn]] void Fail(const std::string& table, const std::string& what) {
  throw Error(ErrorCode::kConfig, "table '" + table + "': " + what);
}

OptimizerConfig DecodeOptimizer(const std::string& table, std::string_view message) {
  OptimizerConfig c;
  uint32_t chosen = 0;
  bool stochastic_rounding = false;
  std::string body;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == kStochasticRounding) {
      stochastic_rounding = f.scalar != 0;
    } else if (KindOfConfig(f.number, &c.kind) || UnimplementedOptimizer(f.number)) {
      if (f.number != chosen) body.clear();  // the last choice counts; one made twice is merged
      chosen = f.number;
      body.append(BytesOf(f));
    }
  }
  if (stochastic_rounding) Fail(table, "opt_config: stochastic_rounding_float16 is not supported yet");
  if (chosen == 0) Fail(table, "opt_config: no optimizer is chosen");
  if (const char* name = UnimplementedOptimizer(chosen))
    Fail(table, std::string("opt_config: optimizer ") + name + " is not implemented; use adagrad, ftrl, group_adagrad or adam");
  const OptimizerType& type = TypeOf(c.kind);
  for (Reader r(body); r.Next(&f);) {
    for (const auto& field : type.config)
      if (field.number && field.number == f.number && f.type == Type::kFixed32) c.*field.value = f.AsFloat();
    if (type.nesterov_number && type.nesterov_number == f.number) c.use_nesterov = f.scalar != 0;
  }
  return c;
}

InitializerConfig DecodeInitializer(const std::string& table, std::string_view message) {
  InitializerConfig c;
  uint32_t kind = 0;
  std::string_view body;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number != kZeros && f.number != kUniform && f.number != kOnes && f.number != kConstants)
      Fail(table, "init_config: initializer field " + std::to_string(f.number) +
                      " is not supported; use zeros, ones, constants or random_uniform");
    kind = f.number;
    body = BytesOf(f);
  }
  if (kind == 0) Fail(table, "init_config: no initializer is chosen");
  c.kind = kind == kUniform ? InitializerConfig::Kind::kRandomUniform : InitializerConfig::Kind::kConstant;
  c.constant = kind == kOnes ? 1.f : 0.f;
  for (Reader r(body); r.Next(&f);) {
    if (kind == kConstants && f.number == 2) c.constant = f.AsFloat();
    if (kind == kUniform && f.number == 2) c.minval = f.AsFloat();
    if (kind == kUniform && f.number == 3) c.maxval = f.AsFloat();
  }
  return c;
}

// Rows are float32: fp32 and fp16 say how a serving table would store them, the two others change what training reads.
void CheckCompressor(const std::string& table, std::string_view message) {
  uint32_t kind = 0;
  Field f;
  for (Reader r(message); r.Next(&f);) kind = f.number;
  if (kind == kFp32 || kind == kFp16) return;
  if (kind == 0) Fail(table, "comp_config: no compressor is chosen");
  const std::string name = kind == kFixedR8 ? "fixed_r8" : kind == kOneBit ? "one_bit" : "field " + std::to_string(kind);
  Fail(table, "comp_config: compressor " + name + " is not supported; use fp32 or fp16");
}

SegmentConfig DecodeSegment(const std::string& table, std::string_view message) {
  SegmentConfig s;
  std::string_view init, opt, comp;
  bool has_init = false, has_opt = false, has_comp = false;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1) init = BytesOf(f), has_init = true;
    if (f.number == 2) opt = BytesOf(f), has_opt = true;
    if (f.number == 3) comp = BytesOf(f), has_comp = true;
    if (f.number == 7) s.dim = f.AsInt32();
  }
  if (!has_init) Fail(table, "a segment has no init_config");
  if (!has_opt) Fail(table, "a segment has no opt_config");
  s.initializer = DecodeInitializer(table, init);
  s.optimizer = DecodeOptimizer(table, opt);
  if (has_comp) CheckCompressor(table, comp);
  return s;
}

void DecodeEntry(std::string_view message, TableConfig* c) {
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1) c->segments.push_back(DecodeSegment(c->name, BytesOf(f)));
    if (f.number == 2 && f.scalar != 1)
      Fail(c->name, "entry_config: entry_type " + std::to_string(f.scalar) + " is not supported; use TRAINING");
  }
}

void DecodeExpire(std::string_view message, TableConfig* c) {
  c->has_expire_config = c->has_expire_config || !message.empty();
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 2) c->default_expire_days = static_cast<uint32_t>(f.scalar);
    if (f.number != 1) continue;
    std::pair<uint32_t, uint32_t> entry{0, 0};
    Field g;
    for (Reader inner(BytesOf(f)); inner.Next(&g);) {
      if (g.number == 1) entry.first = static_cast<uint32_t>(g.scalar);
      if (g.number == 2) entry.second = static_cast<uint32_t>(g.scalar);
    }
    c->slot_expire_days.push_back(entry);
  }
}

auto Tie(const OptimizerConfig& o) {
  return std::tie(o.kind, o.initial_accumulator_value, o.weight_decay_factor, o.beta, o.l1, o.l2, o.beta1, o.beta2,
                  o.epsilon, o.momentum, o.averaging_ratio, o.use_nesterov);
}
auto Tie(const InitializerConfig& i) { return std::tie(i.kind, i.constant, i.minval, i.maxval); }

bool operator==(const SegmentConfig& a, const SegmentConfig& b) {
  return a.dim == b.dim && Tie(a.initializer) == Tie(b.initializer) && Tie(a.optimizer) == Tie(b.optimizer);
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
  return std::tie(a.name, a.initial_capacity, a.default_expire_days, a.slot_expire_days, a.seed) ==
         std::tie(b.name, b.initial_capacity, b.default_expire_days, b.slot_expire_days, b.seed);
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
  }
  if (dim > kMaxDim) Fail(c.name, "the dims of the segments sum to more than " + std::to_string(kMaxDim));
  for (const auto& [slot, days] : c.slot_expire_days)
    if (slot >= 1u << 15) Fail(c.name, "slot_expire_time_config: slot " + std::to_string(slot) + " is above 32767");
}

TableConfig DecodeTableConfig(std::string_view name, std::string_view serialized) {
  TableConfig c;
  c.name = name;
  bool has_type = false, skip_zero = false, evict = false;
  try {
    Field f;
    for (Reader r(serialized); r.Next(&f);) {
      if (f.number == 1) DecodeEntry(BytesOf(f), &c);
      if (f.number == 2) c.initial_capacity = f.scalar;
      if (f.number == 3) DecodeExpire(BytesOf(f), &c);
      if (f.number == 5) has_type = true;
      if (f.number == 7) evict = f.scalar != 0;
      if (f.number == 10) skip_zero = f.scalar != 0;
    }
  } catch (const BadRecord& e) {
    Fail(c.name, std::string("its config is not an EmbeddingHashTableConfig: ") + e.what());
  }
  if (!has_type) Fail(c.name, "no table type is chosen; set `cuckoo`");
  if (skip_zero) Fail(c.name, "skip_zero_embedding is for serving tables alone");
  if (evict) Fail(c.name, "enable_feature_eviction: eviction in the background is not supported; entries expire on save");
  ValidateTableConfig(c);
  return c;
}

}  // namespace monolith
