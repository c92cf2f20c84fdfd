// Raises every label to a number of line_id (spec 20, section 12): label i becomes max(label i, f), f as float. A record
// without labels passes as it came.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "core/operators/label_operator.h"

namespace monolith {

class UseFieldAsLabel : public LabelOperator {
 public:
  // With `zero_from`, an f of at least that much counts as 0. Throws Error(kUsage) for a field that is unknown, a string
  // or a list, and for example_batch.
  UseFieldAsLabel(RecordType type, std::string_view field, std::optional<float> zero_from);

  const char* name() const override { return "use_field_as_label"; }

 private:
  void Relabel(std::vector<float>* labels) override;
  float Value() const;

  const LineIdField& field_;
  const int place_;
  const std::optional<float> zero_from_;
};

}  // namespace monolith
