// Any bytes through every conversion: only BadRecord may come out, and what is made must be readable again.
#include <cstdint>
#include <cstdlib>

#include "core/base/error.h"
#include "core/records/convert.h"
#include "core/records/stat.h"
#include "core/wire/wire.h"

namespace {

using namespace monolith;  // NOLINT

struct Again : RecordSink {
  explicit Again(RecordType type) : type(type) {}
  void Write(const Record& record) override {
    if (++records > 64) return;
    StatOperator stat(type);
    stat.Process(record, this);  // throws for what is no record
  }
  void Flush() override {}
  RecordType type;
  int records = 0;
};

// A small batch may stand for two thousand million rows: those are right, and take their time.
bool HasManyRows(const Record& record) {
  wire::Reader reader(record.payload);
  wire::Field f;
  try {
    while (reader.Next(&f))
      if (f.number == 3 && f.scalar > 1000) return true;
  } catch (const BadRecord&) {
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  constexpr RecordType kTypes[] = {RecordType::kInstance, RecordType::kExample, RecordType::kExampleBatch};
  ConvertOptions options;
  options.from = kTypes[data[0] % 3];
  options.to = kTypes[data[0] / 3 % 3];
  options.pruning = static_cast<Pruning>(data[0] / 9 % 3);
  options.batch_size = 2;
  Record record;
  record.payload = {reinterpret_cast<const char*>(data + 1), size - 1};
  if (options.from == RecordType::kExampleBatch && HasManyRows(record)) return 0;
  auto op = MakeConvert(options);
  Again sink(options.to);
  bool made = false;
  try {
    for (int i = 0; i < 3; ++i) {
      struct Quiet : RecordSink {
        void Write(const Record&) override {}
        void Flush() override {}
      } quiet;
      op->Process(record, &quiet);
    }
    made = options.from != options.to;
  } catch (const BadRecord&) {
  }
  if (!made) return 0;
  auto again = MakeConvert(options);
  again->Process(record, &sink);  // a BadRecord here is a find: it was made a moment ago
  again->Finish(&sink);
  return 0;
}
