// The filter over arbitrary records: it keeps, drops or reports them, and `invert` decides the other way round.
#include <cstdlib>

#include "core/base/error.h"
#include "core/operators/filter.h"

using namespace monolith;

namespace {

class Count : public RecordSink {
 public:
  void Write(const Record&) override { ++n; }
  void Flush() override {}
  int n = 0;
};

FilterConfig Config(RecordType type, uint8_t choice, bool invert) {
  FilterConfig config;
  config.type = type;
  config.invert = invert;
  if (choice & 1) config.where = "chnid >= 1 and (actions any [1,2] or user_id startswith 'a') or instance_weight > 1";
  if (choice & 2) config.select_slots = {1, 2};
  if (choice & 4) config.filter_fids = {1, 2, 3, 4, 5, 6}, config.has_fids = {7};
  if (choice & 8) config.select_fids = {8, 9};
  if (choice & 16) config.label_thresholds = {0, 1};
  if (choice & 32) config.has_actions = {0, -1};
  return config;
}

// 1 kept, 0 dropped, -1 broken.
int Run(const FilterConfig& config, const Record& record) {
  Filter filter(config);
  Count kept;
  try {
    filter.Process(record, &kept);
  } catch (const BadRecord&) {
    return -1;
  }
  return kept.n;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string payload(reinterpret_cast<const char*>(data + 1), size - 1);
  Record record;
  record.payload = payload;
  for (RecordType type : {RecordType::kInstance, RecordType::kExample}) {
    const int kept = Run(Config(type, data[0], false), record), inverted = Run(Config(type, data[0], true), record);
    if (kept < 0 ? inverted != kept : inverted != 1 - kept) std::abort();
  }
  return 0;
}
