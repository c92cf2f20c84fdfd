#include "core/operators/label_upper_bound.h"

#include "core/base/error.h"

namespace monolith {

LabelUpperBound::LabelUpperBound(RecordType type, std::vector<float> bounds) : LabelOperator(type), bounds_(std::move(bounds)) {
  if (bounds_.empty()) throw Error(ErrorCode::kUsage, "no upper bound of labels");
}

void LabelUpperBound::Relabel(std::vector<float>* labels) {
  if (labels->size() < bounds_.size()) return;
  for (size_t i = 0; i < bounds_.size(); ++i)
    if ((*labels)[i] > bounds_[i]) (*labels)[i] = bounds_[i];
}

}  // namespace monolith
