// Caps labels (spec 20, section 10): label i becomes bound i where it is greater. A record with fewer labels than bounds
// passes as it came; labels behind the bounds, and NaN, stay.
#pragma once

#include <vector>

#include "core/operators/label_operator.h"

namespace monolith {

class LabelUpperBound : public LabelOperator {
 public:
  // Throws Error(kUsage) for no bounds and for example_batch.
  LabelUpperBound(RecordType type, std::vector<float> bounds);

  const char* name() const override { return "label_upper_bound"; }

 private:
  void Relabel(std::vector<float>* labels) override;

  const std::vector<float> bounds_;
};

}  // namespace monolith
