// The first records of a stream; then nothing more is read.
#pragma once

#include "core/operators/operator.h"

namespace monolith {

class Limit : public Operator {
 public:
  explicit Limit(uint64_t records) : left_(records) { ended_ = records == 0; }
  const char* name() const override { return "limit"; }
  void Process(const Record& record, RecordSink* next) override;
  // `limit`: what an operator before it let out at the end.
  std::map<std::string, uint64_t> DroppedBy() const override;

 private:
  uint64_t left_, dropped_ = 0;
};

}  // namespace monolith
