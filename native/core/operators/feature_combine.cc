#include "core/operators/feature_combine.h"

#include "core/base/error.h"

namespace monolith {
namespace {

std::vector<DerivedFeature::Spec> Specs(const FeatureCombineConfig& config) {
  std::vector<DerivedFeature::Spec> specs;
  for (const auto& rule : config.rules) specs.push_back({rule.name, {rule.first, rule.second}});
  return specs;
}

void Read(FeatureContent* source, std::vector<uint64_t>* fids) {
  fids->clear();
  source->ForEachRun([&](std::string_view run, bool v1) {
    for (size_t i = 0; i < run.size(); i += 8) {
      const uint64_t f = LoadLe<uint64_t>(run.data() + i);
      fids->push_back(v1 ? fid::V1ToV2(f) : f);
    }
  });
}

}  // namespace

uint64_t CombineFids(uint64_t a, uint64_t b, uint32_t slot, bool exact) {
  const __int128 product = static_cast<__int128>(static_cast<int64_t>(a)) * static_cast<int64_t>(b);
  const uint64_t mixed = static_cast<uint64_t>(static_cast<unsigned __int128>(product) >> 64) ^ static_cast<uint64_t>(product);
  const uint64_t mask = exact ? fid::kSignatureMaskV2 : fid::kSignatureMaskV2 << 1 | 1;
  return uint64_t{slot} << fid::kSignatureBitsV2 | (mixed & mask);
}

FeatureCombine::FeatureCombine(FeatureCombineConfig config)
    : DerivedFeature(config.type, "pb-feature --combine", Specs(config)), config_(std::move(config)) {
  for (const auto& rule : config_.rules) {
    if (rule.slot == 0) throw Error(ErrorCode::kUsage, "the slot of a combination is at least 1");
    fid::CheckedV2(rule.slot, 0);
  }
}

NewFeature FeatureCombine::Make(size_t i, FeatureContent* sources, std::string* packed) {
  const FeatureCombineConfig::Rule& rule = config_.rules[i];
  Read(&sources[0], &first_);
  Read(&sources[1], &second_);
  if (!second_.empty() && first_.size() > kMostPairs / second_.size())
    throw BadRecord("features '" + rule.first + "' and '" + rule.second + "' have " + std::to_string(first_.size()) + " and " +
                    std::to_string(second_.size()) + " fids, which makes more than " + std::to_string(kMostPairs) + " pairs");
  packed->resize(first_.size() * second_.size() * 8);
  char* to = packed->data();
  for (uint64_t a : first_)
    for (uint64_t b : second_) StoreLe(to, CombineFids(a, b, rule.slot, config_.exact)), to += 8;
  return NewFeature::kFids;
}

}  // namespace monolith
