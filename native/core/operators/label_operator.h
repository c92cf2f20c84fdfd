// What the operators that change labels share: the labels of a record are read, changed, and written back where they differ.
#pragma once

#include <vector>

#include "core/operators/operator.h"
#include "core/operators/record_patch.h"
#include "core/operators/record_view.h"

namespace monolith {

class LabelOperator : public Operator {
 public:
  void Process(const Record& record, RecordSink* next) final;

 protected:
  // Throws Error(kUsage) for example_batch.
  explicit LabelOperator(RecordType type);

  // Changes the labels of the record that view_ holds; may ask patch_ for more.
  virtual void Relabel(std::vector<float>* labels) = 0;

  RecordView view_;
  RecordPatch patch_;

 private:
  std::vector<float> labels_;
};

}  // namespace monolith
