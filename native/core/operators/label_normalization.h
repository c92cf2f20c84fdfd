// Rescales every label by a row of methods, one after the other (spec 20, section 11), in single precision.
//
//   log        ln(max(x + v, 0))             scale      x / v
//   scale2int  x / v without its fraction, as a 32-bit integer; what does not fit is the nearest that does, NaN is 0
//   pow        (x + 1)^v                     repow      x^v where x > 0, else 0
//   scalelog   ln(max(x / v + 1, 0))
#pragma once

#include <vector>

#include "core/operators/label_config.h"
#include "core/operators/label_operator.h"

namespace monolith {

class LabelNormalization : public LabelOperator {
 public:
  // `skip_invalid` leaves invalid labels as they are; otherwise they are numbers like others. Throws Error(kUsage) for no
  // steps and for example_batch.
  LabelNormalization(RecordType type, std::vector<NormStep> steps, bool skip_invalid);

  const char* name() const override { return "label_normalization"; }

 private:
  void Relabel(std::vector<float>* labels) override;

  const std::vector<NormStep> steps_;
  const bool skip_invalid_;
};

}  // namespace monolith
