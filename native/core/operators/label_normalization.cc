#include "core/operators/label_normalization.h"

#include <cmath>
#include <cstdint>

#include "core/base/error.h"

namespace monolith {
namespace {

// NaN stays NaN.
float AtLeastZero(float x) { return x < 0 ? 0.0f : x; }

float ToInt(float x) {
  if (std::isnan(x)) return 0;
  if (x >= 0x1p31f) return static_cast<float>(INT32_MAX);
  if (x <= -0x1p31f) return static_cast<float>(INT32_MIN);
  return static_cast<float>(static_cast<int32_t>(x));
}

float Normalized(float x, NormStep step) {
  const float v = step.value;
  switch (step.method) {
    case NormMethod::kLog: return std::log(AtLeastZero(x + v));
    case NormMethod::kScale: return x / v;
    case NormMethod::kScale2Int: return ToInt(x / v);
    case NormMethod::kPow: return std::pow(x + 1, v);
    case NormMethod::kRepow: return x > 0 ? std::pow(x, v) : 0;
    case NormMethod::kScaleLog: return std::log(AtLeastZero(x / v + 1));
  }
  return x;
}

}  // namespace

LabelNormalization::LabelNormalization(RecordType type, std::vector<NormStep> steps, bool skip_invalid)
    : LabelOperator(type), steps_(std::move(steps)), skip_invalid_(skip_invalid) {
  if (steps_.empty()) throw Error(ErrorCode::kUsage, "no method to normalize labels by");
}

void LabelNormalization::Relabel(std::vector<float>* labels) {
  for (float& label : *labels) {
    if (skip_invalid_ && label == kInvalidLabel) continue;
    for (NormStep step : steps_) label = Normalized(label, step);
  }
}

}  // namespace monolith
