// The operators on features over arbitrary records: they change a record or report it as broken. What they write can be
// read by them again, and what is done once needs not be done twice.
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "core/operators/columns.h"
#include "core/operators/feature_combine.h"
#include "core/operators/feature_hash.h"
#include "core/operators/fid_mask.h"
#include "core/operators/map_id.h"
#include "core/operators/seq_mask.h"
#include "core/operators/switch_slot.h"

using namespace monolith;

namespace {

class Keep : public RecordSink {
 public:
  void Write(const Record& record) override { out.emplace(record.payload); }
  void Flush() override {}
  std::optional<std::string> out;
};

std::vector<std::unique_ptr<Operator>> Operators(RecordType type) {
  std::vector<std::unique_ptr<Operator>> all;
  all.push_back(std::make_unique<SwitchSlot>(SwitchSlotConfig{type, {{"a", 7, true}, {"slot_1", 3, true}}, "share"}));
  all.push_back(std::make_unique<Columns>(ColumnsConfig{type, {{"a", "b"}}, {"c", "slot_2"}, {}}));
  all.push_back(std::make_unique<Columns>(ColumnsConfig{type, {}, {}, std::vector<std::string>{"a", "slot_1"}}));
  all.push_back(std::make_unique<MapId>(MapIdConfig{type, {{"a", {{1, 2}, {2, 2}}, 2}}}));
  if (type != RecordType::kExampleBatch) {
    all.push_back(std::make_unique<FidMask>(FidMaskConfig{type, {{"m", "a", 1}}}));
    all.push_back(std::make_unique<SeqMask>(SeqMaskConfig{type, {{"m", "slot_1", 5}, {"n", "a", 2}}}));
    all.push_back(std::make_unique<FeatureCombine>(FeatureCombineConfig{type, {{"m", "a", "slot_1", 9}}, false}));
    all.push_back(std::make_unique<FeatureHash>(FeatureHashConfig{type, {{"a", 5}, {"b", 6}}, false}));
  }
  // Copies are made anew each time.
  all.push_back(std::make_unique<SwitchSlot>(SwitchSlotConfig{type, {{"a", 7, false}, {"slot_1", 3, false}}, "share"}));
  return all;
}

// Nothing when the record is broken.
std::optional<std::string> Run(Operator* op, const std::string& payload) {
  Record record;
  record.payload = payload;
  Keep kept;
  try {
    op->Process(record, &kept);
  } catch (const BadRecord&) {
    if (kept.out) std::abort();
    return {};
  }
  if (!kept.out) std::abort();
  return kept.out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > 4096) return 0;
  const std::string payload(reinterpret_cast<const char*>(data + 1), size - 1);
  for (RecordType type : {RecordType::kInstance, RecordType::kExample, RecordType::kExampleBatch}) {
    const auto operators = Operators(type);
    for (const auto& op : operators) {
      const std::optional<std::string> once = Run(op.get(), payload);
      if (!once) continue;
      const std::optional<std::string> twice = Run(op.get(), *once);
      if (!twice) std::abort();
      if (op != operators.back() && op->name() != std::string("feature_hash") && *twice != *once) std::abort();
    }
  }
  return 0;
}
