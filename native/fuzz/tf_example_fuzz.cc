// Any bytes as a tf.train.Example: only BadRecord may come out, and what is made must be readable again.
#include <cstdint>

#include "core/base/error.h"
#include "core/records/stat.h"
#include "core/records/tf_example.h"

namespace {

using namespace monolith;  // NOLINT

struct Check : RecordSink {
  void Write(const Record& record) override {
    StatOperator stat(RecordType::kExample);
    try {
      stat.Process(record, this);
    } catch (const BadRecord&) {
      __builtin_trap();
    }
  }
  void Flush() override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  TfExampleOptions options;
  options.sparse = {{"a", 1}, {"b", 32767}};
  options.dense = {"c", "d"};
  options.label = "y";
  options.instance_weight = "w";
  options.hash_bytes = size % 2;
  TfExampleOperator op(options);
  Check check;
  Record record;
  record.payload = {reinterpret_cast<const char*>(data), size};
  try {
    op.Process(record, &check);
  } catch (const BadRecord&) {
  }
  return 0;
}
