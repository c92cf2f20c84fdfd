// tf.train.Example → Example.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/operators/operator.h"

namespace monolith {

struct TfExampleOptions {
  // name and slot, 1..32767, each slot once. int64 values become the signature; a float v becomes
  // trunc(log2(|v| + 1)), 0 for NaN and infinity.
  std::vector<std::pair<std::string, int64_t>> sparse;
  std::vector<std::string> dense;  // copied: int64, float or bytes list
  std::string label;               // a float feature; "" for none
  std::string instance_weight;     // a float feature with one value; "" for none. Everything else weighs 1.
  // Bytes of a sparse feature become CityHash64 of each value; without it such a feature stays empty.
  bool hash_bytes = false;
};

class TfExampleOperator : public Operator {
 public:
  // Throws Error(kUsage) when a name or a slot is given twice or a slot is out of range.
  explicit TfExampleOperator(TfExampleOptions options);
  ~TfExampleOperator() override;
  const char* name() const override { return "tf_example"; }
  void Process(const Record& record, RecordSink* next) override;

  // Records whose label was missing, whose label was no float list, whose weight was not one float, and sparse features
  // with bytes that were left empty. Keys: label_missing, label_not_float, weight_not_one_float, bytes_not_hashed.
  std::map<std::string, uint64_t> Notes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace monolith
