// The filter over arbitrary records: it keeps, drops or reports them, and `invert` decides the other way round. What it changes
// are the four bytes of the first label.
#include <cstdlib>

#include "core/base/error.h"
#include "core/operators/filter.h"

using namespace monolith;

namespace {

class Count : public RecordSink {
 public:
  explicit Count(const Record& original) : original_(original) {}
  void Write(const Record& record) override {
    ++n;
    if (record.payload.size() != original_.payload.size()) std::abort();
    size_t changed = 0;
    for (size_t i = 0; i < record.payload.size(); ++i) changed += record.payload[i] != original_.payload[i];
    if (changed > 4) std::abort();
  }
  void Flush() override {}
  int n = 0;

 private:
  const Record& original_;
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
  if (choice & 64) config.include_v2_fids = config.drop_empty = true;
  if (choice & 128) {
    const bool example = type == RecordType::kExample;
    config.value.emplace();
    config.value->field = example ? "" : "user_id";
    config.value->feature = example ? "a" : "";
    config.value->feature_type = "bytes";
    config.value->op = "endswith";
    config.value->values = {"a", ""};
    if (example) config.where = "feature('b') any [1,2] or feature('c') > 0.5 or feature('d', double) in [0.1] or label > 1";
    config.special_strategy.strategies = {1, 2};
    config.special_strategy.rules = {{1, 1.0f, 3.0f}, {2, 0.5f, 4.0f}};
    config.negative_sample.emplace();
    config.negative_sample->drop_rate = 0.5f;
    config.negative_sample->action_priority = {1, 2};
    config.negative_sample->action_rates = {{1, 1.0f}};
  }
  return config;
}

// 1 kept, 0 dropped, -1 broken.
int Run(Filter* filter, const Record& record) {
  Count kept(record);
  try {
    filter->Process(record, &kept);
  } catch (const BadRecord&) {
    return -1;
  }
  return kept.n;
}

int Run(const FilterConfig& config, const Record& record) {
  Filter filter(config);
  return Run(&filter, record);
}

// What a filter remembers of this record does not change what it makes of those that differ in a byte. Nothing is drawn here.
void RunSimilar(FilterConfig config, const std::string& payload) {
  config.negative_sample.reset();
  config.special_strategy.rules.clear();
  Filter experienced(config);
  Record record;
  record.payload = payload;
  Run(&experienced, record);
  for (size_t i = 0; i < payload.size(); i += 1 + payload.size() / 16) {
    std::string similar = payload;
    similar[i] = static_cast<char>(similar[i] ^ (1 + i * 37 % 255));
    record.payload = similar;
    if (Run(&experienced, record) != Run(config, record)) std::abort();
    record.payload = payload;
    if (Run(&experienced, record) != Run(config, record)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string payload(reinterpret_cast<const char*>(data + 1), size - 1);
  Record record;
  record.payload = payload;
  for (RecordType type : {RecordType::kInstance, RecordType::kExample}) {
    const int kept = Run(Config(type, data[0], false), record), inverted = Run(Config(type, data[0], true), record);
    RunSimilar(Config(type, data[0], false), payload);
    if (kept < 0 ? inverted != kept : inverted != 1 - kept) std::abort();
  }
  return 0;
}
