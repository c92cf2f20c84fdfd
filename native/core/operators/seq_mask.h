// Writes an integer feature of fixed length: 1 for each place that a sequence fills, then 0 (spec 20, section 18).
#pragma once

#include "core/operators/derived_feature.h"

namespace monolith {

struct SeqMaskConfig {
  struct Rule {
    std::string name, source;
    uint32_t length = 1;  // of the mask, 1..65536
  };
  RecordType type = RecordType::kInstance;
  std::vector<Rule> rules;
};

class SeqMask : public DerivedFeature {
 public:
  static constexpr uint32_t kMostLength = 65536;

  explicit SeqMask(SeqMaskConfig config);
  const char* name() const override { return "seq_mask"; }

 protected:
  NewFeature Make(size_t i, FeatureContent* sources, std::string* packed) override;

 private:
  const SeqMaskConfig config_;
};

}  // namespace monolith
