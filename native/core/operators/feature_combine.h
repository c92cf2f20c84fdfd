// Crosses two features: every pair of their fids makes one (spec 20, section 20). Fids of v1 count as their v2 form.
#pragma once

#include "core/operators/derived_feature.h"

namespace monolith {

struct FeatureCombineConfig {
  struct Rule {
    std::string name, first, second;
    uint32_t slot = 1;  // of the made fids, 1..32767
  };
  RecordType type = RecordType::kInstance;
  std::vector<Rule> rules;
  bool exact = false;  // keep 48 bits of a product, not 49; see CombineFids
};

// The first factor's fids are the outer loop. The halves of the 128-bit product of two fids are put together by xor. By
// default 49 bits of that are kept, so that about half the fids of an even slot land in the next one: data and models
// made so far have it so. `exact` keeps 48.
uint64_t CombineFids(uint64_t a, uint64_t b, uint32_t slot, bool exact);

class FeatureCombine : public DerivedFeature {
 public:
  static constexpr size_t kMostPairs = size_t{1} << 22;  // of one feature of a record; more make it a BadRecord

  explicit FeatureCombine(FeatureCombineConfig config);
  const char* name() const override { return "feature_combine"; }

 protected:
  NewFeature Make(size_t i, FeatureContent* sources, std::string* packed) override;

 private:
  const FeatureCombineConfig config_;
  std::vector<uint64_t> first_, second_;
};

}  // namespace monolith
