// One record on its way through a chain, and the two ends of a chain.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace monolith {

enum class RecordType { kInstance, kExample, kExampleBatch };

// Accepts `instance`, `example`, `example_batch`, `examplebatch`; throws Error(kUsage) with the choices otherwise.
RecordType ParseRecordType(std::string_view name);
const char* RecordTypeName(RecordType type);

struct Record {
  std::string_view payload;  // valid until the next call that produced it
  // True when the eight bytes before payload.data() hold its length as the bare wire has it, so that a record which
  // leaves unchanged is copied with its frame, many at a time. Such bytes must stay as they are until Flush(); those of
  // a record that is not framed are copied by Write().
  bool framed = false;
  uint64_t offset = 0;  // of the frame in the uncompressed stream of its source
  uint64_t end = 0;     // offset of the byte after it
};

// What a reader, an operator or a whole chain pushes records into.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual void Write(const Record& record) = 0;
  // Many records at once: their frames as the bare wire has them, one behind the other.
  virtual void WriteRun(std::string_view frames, uint64_t records);
  // Called before memory that written records point into is reused, and when the input has nothing more at hand:
  // everything written so far must leave now.
  virtual void Flush() = 0;
};

// Counters that every chain reports.
struct StreamStats {
  uint64_t records_in = 0, records_out = 0, bytes_in = 0, bytes_out = 0;
  uint64_t bad_records = 0;  // skipped or set aside by --on-bad-record
};

}  // namespace monolith
