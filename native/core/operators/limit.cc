#include "core/operators/limit.h"

namespace monolith {

void Limit::Process(const Record& record, RecordSink* next) {
  if (left_ == 0) return void(++dropped_);
  next->Write(record);
  ended_ = --left_ == 0;
}

std::map<std::string, uint64_t> Limit::DroppedBy() const {
  if (dropped_ == 0) return {};
  return {{"limit", dropped_}};
}

}  // namespace monolith
