#include "core/tables/summary.h"

#include <cstdio>

#include "core/tables/compressors/compressor_type.h"
#include "core/tables/optimizer.h"

namespace monolith {
namespace {

const char* Title(OptimizerConfig::Kind kind) {
  using Kind = OptimizerConfig::Kind;
  switch (kind) {
    case Kind::kSgd: return "Sgd";
    case Kind::kAdagrad: return "Adagrad";
    case Kind::kFtrl: return "Ftrl";
    case Kind::kAdadelta: return "Adadelta";
    case Kind::kAdam: return "Adam";
    case Kind::kAmsgrad: return "Amsgrad";
    case Kind::kMomentum: return "Momentum";
    case Kind::kMovingAverage: return "MovingAverage";
    case Kind::kRmsprop: return "Rmsprop";
    case Kind::kRmspropV2: return "RmspropV2";
    case Kind::kBatchSoftmax: return "BatchSoftmax";
    case Kind::kGroupAdagrad: return "GroupAdaGrad";
  }
  return "";
}

std::string Fixed(double v) {
  const int n = std::snprintf(nullptr, 0, "%f", v);
  std::string s(static_cast<size_t>(n) + 1, '\0');
  std::snprintf(s.data(), s.size(), "%f", v);
  s.pop_back();
  return s;
}

std::string Describe(const InitializerConfig& c, int dim) {
  const std::string d = "(D=" + std::to_string(dim);
  if (c.kind == InitializerConfig::Kind::kConstant) return "Constants" + d + ", C=" + Fixed(c.constant) + ")";
  return "RandomUniform" + d + ", min=" + Fixed(c.minval) + ", max=" + Fixed(c.maxval) + ")";
}

// "leaf|leaf|…", one of each segment.
template <class Leaf>
std::string Joined(const RowPlan& plan, Leaf leaf) {
  std::string s;
  for (const SegmentPlan& p : plan.segments()) s += (s.empty() ? "" : "|") + leaf(p);
  return s;
}

std::string WithDim(const char* name, int dim) { return std::string(name) + "(D=" + std::to_string(dim) + ")"; }

size_t UncompressedBytes(const RowPlan& plan) {
  if (plan.serving()) return static_cast<size_t>(plan.dim()) * sizeof(float);
  size_t bytes = plan.row_bytes();
  // group_adagrad tells of a float for each weight where it has one for all.
  for (const SegmentPlan& p : plan.segments())
    if (p.optimizer.kind == OptimizerConfig::Kind::kGroupAdagrad) bytes += static_cast<size_t>(p.dim - 1) * sizeof(float);
  return bytes;
}

std::string Accessor(const RowPlan& plan) {
  if (plan.serving())
    return "{\"compressor\": \"" + Joined(plan, [](const SegmentPlan& p) { return WithDim(p.codec->title, p.dim); }) +
           "\", \"size_bytes\": " + std::to_string(plan.row_bytes()) +
           ", \"uncompressed_size_bytes\": " + std::to_string(UncompressedBytes(plan)) + "}";
  return "{\"initializer\": \"" + Joined(plan, [](const SegmentPlan& p) { return Describe(p.initializer, p.dim); }) +
         "\", \"optimizer\": \"" + Joined(plan, [](const SegmentPlan& p) { return WithDim(Title(p.optimizer.kind), p.dim); }) +
         "\", \"retriever\": \"" + Joined(plan, [](const SegmentPlan& p) { return WithDim(p.codec->retriever, p.dim); }) + "\"}";
}

double LoadFactor(size_t rows, uint64_t capacity) {
  double slots = 4;
  while (slots < static_cast<double>(rows) || slots < static_cast<double>(capacity)) slots *= 2;
  return static_cast<double>(rows) / slots;
}

}  // namespace

std::string Summary(const EmbeddingTable& table) {
  const RowPlan& plan = table.plan();
  const size_t n = table.size();
  return "{\"accessor\": " + Accessor(plan) + ", \"size\": " + std::to_string(n) +
         ", \"memory\": " + std::to_string(n * (plan.row_bytes() + 8)) +
         ", \"memory_if_not_compressed\": " + std::to_string(n * (UncompressedBytes(plan) + 8)) +
         ", \"load_factor\": " + Fixed(LoadFactor(n, table.config().initial_capacity)) + "}";
}

}  // namespace monolith
