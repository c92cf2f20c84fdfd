// The protobuf form of a table's config (spec 30, 1.1 and 1.3 to 1.5).
#include "core/base/error.h"
#include "core/tables/compressors/compressor_type.h"
#include "core/tables/optimizers/optimizer_type.h"
#include "core/tables/table_config.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;

// Field numbers of the oneof of InitializerConfig, and the one of OptimizerConfig beside its oneof.
enum : uint32_t { kZeros = 1, kUniform = 2, kOnes = 3, kConstants = 15 };
enum : uint32_t { kStochasticRounding = 4 };
enum : uint64_t { kTraining = 1, kServing = 2 };  // EntryConfig.EntryType

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
  std::string body;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == kStochasticRounding) {
      c.stochastic_rounding_float16 = f.scalar != 0;
    } else if (KindOfConfig(f.number, &c.kind) || UnimplementedOptimizer(f.number)) {
      if (f.number != chosen) body.clear();  // the last choice counts; one made twice is merged
      chosen = f.number;
      body.append(BytesOf(f));
    }
  }
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

CompressorConfig DecodeCompressor(const std::string& table, std::string_view message) {
  CompressorConfig c;
  uint32_t chosen = 0;
  std::string body;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (!KindOfConfig(f.number, &c.kind)) continue;
    if (f.number != chosen) body.clear();  // as with optimizers
    chosen = f.number;
    body.append(BytesOf(f));
  }
  if (chosen == 0) Fail(table, "comp_config: no compressor is chosen; use fp32, fp16, fixed_r8 or one_bit");
  const CompressorType& type = TypeOf(c.kind);
  for (Reader r(body); r.Next(&f);) {
    for (const auto& field : type.config)
      if (field.number && field.number == f.number && f.type == Type::kFixed32) c.*field.value = f.AsFloat();
    if (type.step_size_number && type.step_size_number == f.number) c.step_size = f.AsInt64();
  }
  return c;
}

// A segment, and which of its parts the message has.
struct DecodedSegment {
  SegmentConfig config;
  bool has_init = false, has_opt = false, has_comp = false;
};

DecodedSegment DecodeSegment(const std::string& table, std::string_view message) {
  DecodedSegment s;
  std::string_view init, opt, comp;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1) init = BytesOf(f), s.has_init = true;
    if (f.number == 2) opt = BytesOf(f), s.has_opt = true;
    if (f.number == 3) comp = BytesOf(f), s.has_comp = true;
    if (f.number == 7) s.config.dim = f.AsInt32();
  }
  // What is there must be right, whether this kind of table uses it or not.
  if (s.has_init) s.config.initializer = DecodeInitializer(table, init);
  if (s.has_opt) s.config.optimizer = DecodeOptimizer(table, opt);
  if (s.has_comp) s.config.compressor = DecodeCompressor(table, comp);
  return s;
}

void DecodeEntry(std::string_view message, TableConfig* c, std::vector<DecodedSegment>* segments) {
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1) segments->push_back(DecodeSegment(c->name, BytesOf(f)));
    if (f.number != 2) continue;
    if (f.scalar != kTraining && f.scalar != kServing)
      Fail(c->name, "entry_config: there is no entry_type " + std::to_string(f.scalar) + "; use TRAINING or SERVING");
    c->serving = f.scalar == kServing;
  }
}

// Which parts a segment needs depends on the entry type, which may come after the segments.
void TakeSegments(const std::vector<DecodedSegment>& segments, TableConfig* c) {
  for (const DecodedSegment& s : segments) {
    if (!c->serving && !s.has_init) Fail(c->name, "a segment has no init_config");
    if (!c->serving && !s.has_opt) Fail(c->name, "a segment has no opt_config");
    if (c->serving && !s.has_comp) Fail(c->name, "a segment has no comp_config, which a serving table needs");
    c->segments.push_back(s.config);
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

}  // namespace

TableConfig DecodeTableConfig(std::string_view name, std::string_view serialized) {
  TableConfig c;
  c.name = name;
  bool has_type = false;
  std::vector<DecodedSegment> segments;
  try {
    Field f;
    for (Reader r(serialized); r.Next(&f);) {
      if (f.number == 1) DecodeEntry(BytesOf(f), &c, &segments);
      if (f.number == 2) c.initial_capacity = f.scalar;
      if (f.number == 3) DecodeExpire(BytesOf(f), &c);
      if (f.number == 5) has_type = true;
      if (f.number == 7) c.enable_feature_eviction = f.scalar != 0;
      if (f.number == 8) c.feature_evict_every_n_hours = f.AsInt32();
      if (f.number == 10) c.skip_zero_embedding = f.scalar != 0;
    }
  } catch (const BadRecord& e) {
    Fail(c.name, std::string("its config is not an EmbeddingHashTableConfig: ") + e.what());
  }
  if (!has_type) Fail(c.name, "no table type is chosen; set `cuckoo`");
  TakeSegments(segments, &c);
  ValidateTableConfig(c);
  return c;
}

}  // namespace monolith
