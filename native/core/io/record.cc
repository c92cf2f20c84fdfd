#include "core/io/record.h"

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith {

void RecordSink::WriteRun(std::string_view frames, uint64_t records) {
  Record record;
  record.framed = true;
  const char* p = frames.data();
  for (uint64_t i = 0; i < records; ++i) {
    record.payload = {p + 8, static_cast<size_t>(LoadLe<uint64_t>(p))};
    p += 8 + record.payload.size();
    Write(record);
  }
}

RecordType ParseRecordType(std::string_view name) {
  if (name == "instance") return RecordType::kInstance;
  if (name == "example") return RecordType::kExample;
  if (name == "example_batch" || name == "examplebatch") return RecordType::kExampleBatch;
  throw Error(ErrorCode::kUsage,
              "record type '" + std::string(name) + "': choose instance, example or example_batch");
}

const char* RecordTypeName(RecordType type) {
  switch (type) {
    case RecordType::kInstance: return "instance";
    case RecordType::kExample: return "example";
    case RecordType::kExampleBatch: return "example_batch";
  }
  return "";
}

}  // namespace monolith
