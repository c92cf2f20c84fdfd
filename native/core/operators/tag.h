// pb-merge --tag: line_id.data_source_name says where a record is from (spec 20, section 26.3).
#pragma once

#include <string>

#include "core/operators/operator.h"
#include "core/operators/record_patch.h"

namespace monolith {

// The data_source_key of an Instance or Example: the last one, 0 when unset. Throws BadRecord.
uint32_t DataSourceKeyOf(RecordType type, std::string_view payload);

// Sets it to "data_source" and the data_source_key in decimal.
class Tag : public Operator {
 public:
  // Throws Error(kUsage) for example_batch.
  explicit Tag(RecordType type);
  const char* name() const override { return "tag"; }
  void Process(const Record& record, RecordSink* next) override;

 private:
  const RecordType type_;
  RecordPatch patch_;
  int place_;
  std::string text_;
};

}  // namespace monolith
