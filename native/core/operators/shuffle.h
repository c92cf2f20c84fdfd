// Mixes records in a bounded buffer: each that enters a full one pushes out another, drawn at random.
#pragma once

#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/operators/operator.h"

namespace monolith {

class ShuffleOperator : public Operator {
 public:
  // At most `max_records` and about `max_bytes` are held; a record larger than that passes through.
  ShuffleOperator(uint64_t seed, size_t max_records, size_t max_bytes);
  const char* name() const override { return "shuffle"; }
  void Process(const Record& record, RecordSink* next) override;
  void Finish(RecordSink* next) override;
  bool HoldsBack() const override { return !held_.empty(); }

 private:
  size_t Draw();
  void Emit(size_t i, RecordSink* next);
  void Drop(size_t i);

  Random random_;
  const size_t max_records_, max_bytes_;
  size_t bytes_ = 0;  // memory behind held_
  std::vector<std::string> held_;

  // Places in a full buffer that were drawn for records to come, so that they are in the cache by then.
  static constexpr size_t kAhead = 16;
  size_t drawn_[kAhead], next_ = 0;
  size_t drawn_of_ = 0;  // size of the buffer they were drawn of; 0 for none
};

}  // namespace monolith
