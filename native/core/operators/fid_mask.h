// Writes a float feature: 1 where a feature has a fid, else 0 (spec 20, section 17). The fid counts as it stands in the
// record, v1 or v2.
#pragma once

#include "core/operators/derived_feature.h"

namespace monolith {

struct FidMaskConfig {
  struct Rule {
    std::string name, source;
    uint64_t fid = 0;
  };
  RecordType type = RecordType::kInstance;
  std::vector<Rule> rules;
};

class FidMask : public DerivedFeature {
 public:
  explicit FidMask(FidMaskConfig config);
  const char* name() const override { return "fid_mask"; }

 protected:
  NewFeature Make(size_t i, FeatureContent* sources, std::string* packed) override;

 private:
  const FidMaskConfig config_;
};

}  // namespace monolith
