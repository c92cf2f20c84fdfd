#include "core/operators/seq_mask.h"

#include <algorithm>

#include "core/base/error.h"

namespace monolith {
namespace {

std::vector<DerivedFeature::Spec> Specs(const SeqMaskConfig& config) {
  std::vector<DerivedFeature::Spec> specs;
  for (const auto& rule : config.rules) specs.push_back({rule.name, {rule.source}});
  return specs;
}

}  // namespace

SeqMask::SeqMask(SeqMaskConfig config)
    : DerivedFeature(config.type, "pb-feature --seq-mask", Specs(config)), config_(std::move(config)) {
  for (const auto& rule : config_.rules)
    if (rule.length < 1 || rule.length > kMostLength)
      throw Error(ErrorCode::kUsage, "the length of a mask is 1 to 65536, while got " + std::to_string(rule.length));
}

NewFeature SeqMask::Make(size_t i, FeatureContent* sources, std::string* packed) {
  // Zero and one are one byte each as varints.
  const size_t length = config_.rules[i].length;
  packed->assign(length, '\0');
  std::fill_n(packed->begin(), std::min(length, sources[0].Length()), '\1');
  return NewFeature::kInt64s;
}

}  // namespace monolith
