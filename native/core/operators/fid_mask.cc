#include "core/operators/fid_mask.h"

#include "core/operators/fid_scan.h"

namespace monolith {
namespace {

std::vector<DerivedFeature::Spec> Specs(const FidMaskConfig& config) {
  std::vector<DerivedFeature::Spec> specs;
  for (const auto& rule : config.rules) specs.push_back({rule.name, {rule.source}});
  return specs;
}

}  // namespace

FidMask::FidMask(FidMaskConfig config)
    : DerivedFeature(config.type, "pb-feature --fid-mask", Specs(config)), config_(std::move(config)) {}

NewFeature FidMask::Make(size_t i, FeatureContent* sources, std::string* packed) {
  bool has = false;
  sources[0].ForEachRun([&](std::string_view run, bool) { has = has || ScanForFid(run.data(), run.size() / 8, config_.rules[i].fid); });
  const float mask = has ? 1.0f : 0.0f;
  packed->assign(reinterpret_cast<const char*>(&mask), sizeof mask);
  return NewFeature::kFloats;
}

}  // namespace monolith
