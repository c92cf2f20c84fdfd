// Negative generation, tagging and splitting over arbitrary records: each is reported broken before anything was written,
// or all that leaves is a record again.
#include <cstdlib>
#include <vector>

#include "core/base/error.h"
#include "core/operators/negative_gen.h"
#include "core/operators/split.h"
#include "core/operators/tag.h"

using namespace monolith;

namespace {

class Keep : public RecordSink {
 public:
  void Write(const Record& record) override { records.emplace_back(record.payload); }
  void Flush() override {}
  std::vector<std::string> records;
};

NegativeGenConfig Config(RecordType type, uint8_t choice) {
  NegativeGenConfig c;
  c.record.type = type;
  c.record.item_features = type == RecordType::kInstance ? std::vector<std::string>{"0", "1", "48"} : std::vector<std::string>{"a", ""};
  c.neg_num = 3;
  c.start_num = 0;
  c.max_item_num = 2;
  if (choice & 1) c.per_channel = true, c.record.channel_feature = type == RecordType::kInstance ? "1" : "a", c.easy_hard_ratio = 0.5f;
  if (choice & 2) c.record.index_feature = type == RecordType::kInstance ? "0" : "b";
  if (choice & 4) c.positive_actions = {0, 1, 2, 3}, c.action_priority = {2, 1};
  if (choice & 8) c.record.negative_action = -5;
  if (choice & 16) c.record.keep_all = true;
  if (choice & 32) c.cache_only_pos = true, c.cache_negative_actions = {7};
  if (choice & 64) c.positive_label = 0;
  c.record.label_index = choice >> 7;
  return c;
}

// The number written, -1 for broken.
int Run(Operator* op, std::string_view payload, std::vector<std::string>* out) {
  Keep kept;
  Record record;
  record.payload = payload;
  try {
    op->Process(record, &kept);
  } catch (const BadRecord&) {
    if (!kept.records.empty()) abort();
    return -1;
  }
  if (out) *out = kept.records;
  return static_cast<int>(kept.records.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string payload(reinterpret_cast<const char*>(data + 1), size - 1);
  for (RecordType type : {RecordType::kInstance, RecordType::kExample}) {
    NegativeGen generate(Config(type, data[0]));
    std::vector<std::string> out;
    for (int i = 0; i < 2; ++i) {
      Run(&generate, payload, &out);
      NegativeGen once(Config(type, data[0]));
      for (const std::string& record : out)
        if (Run(&once, record, nullptr) < 0) abort();
    }
    Tag tag(type);
    if (Run(&tag, payload, &out) > 0 && DataSourceKeyOf(type, out[0]) != DataSourceKeyOf(type, payload)) abort();
    SplitConfig split;
    split.type = type;
    split.by = data[0] & 1 ? SplitConfig::By::kField : SplitConfig::By::kFlow;
    split.field = data[0] & 2 ? "user_id" : "chnid";
    split.flows = {{"1", "-"}, {"2", "-"}};
    split.unmatched = "drop";
    Split splitter(split);
    Run(&splitter, payload, nullptr);
  }
  return 0;
}
