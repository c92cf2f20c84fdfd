// The operators of labels over arbitrary records: each makes one record that its reader can read, or reports a broken one.
#include <cmath>
#include <cstdlib>

#include "core/base/error.h"
#include "core/operators/add_action.h"
#include "core/operators/add_label.h"
#include "core/operators/fill_multi_rank_output.h"
#include "core/operators/instance_reweight.h"
#include "core/operators/label_normalization.h"
#include "core/operators/label_upper_bound.h"
#include "core/operators/multi_label_gen.h"
#include "core/operators/scatter_label.h"
#include "core/operators/use_field_as_label.h"

using namespace monolith;

namespace {

constexpr int kOperators = 9;

std::unique_ptr<Operator> Make(int which, RecordType type) {
  switch (which) {
    case 0: return std::make_unique<AddAction>(type, "chnid >= 0 or user_id == 'a'", std::vector<int32_t>{1, -2});
    case 1: return std::make_unique<AddLabel>(AddLabelConfig{type, {{{1}, {2}, 1}, {{3}, {}, 0.5f}}, -1, 0.5f, 1});
    case 2: return std::make_unique<ScatterLabel>(type, std::vector<std::pair<int64_t, int32_t>>{{0, 1}, {7, 0}});
    case 3: return std::make_unique<LabelUpperBound>(type, std::vector<float>{0.5f, -1});
    case 4: return std::make_unique<LabelNormalization>(type, std::vector<NormStep>{{NormMethod::kScale2Int, 2}, {NormMethod::kLog, 1}}, false);
    case 5: return std::make_unique<UseFieldAsLabel>(type, "sample_rate", 7.0f);
    case 6: {
      MultiLabelGenConfig config;
      config.type = type;
      config.heads = {{"0", 1}, {"-1", 0}};
      config.positive = {1};
      config.priority = {2, 1};
      return std::make_unique<MultiLabelGen>(config);
    }
    case 7: return std::make_unique<FillMultiRankOutput>(type, "rank", 18);
    default: return std::make_unique<InstanceReweight>(InstanceReweightConfig{type, {1, 2}, {{1, 2, 1}, {2, 3, -1}, {3, 0, 0}}});
  }
}

class Again : public RecordSink {
 public:
  explicit Again(RecordType type) : view_(type, "fuzz") { view_.WantLabels(), view_.WantLineId(*FindLineIdField("actions")); }
  void Write(const Record& record) override {
    if (n++ == 0) view_.Load(record.payload);
  }
  void Flush() override {}
  uint64_t n = 0;

 private:
  RecordView view_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string payload(reinterpret_cast<const char*>(data + 1), size - 1);
  Record record;
  record.payload = payload;
  const int which = data[0] % kOperators;
  for (RecordType type : {RecordType::kInstance, RecordType::kExample}) {
    const std::unique_ptr<Operator> op = Make(which, type);
    Again made(type);
    try {
      op->Process(record, &made);
    } catch (const BadRecord&) {
      if (made.n && (which == 1 || which == 6 || which == 8)) std::abort();  // the others do not look at all that Again looks at
      continue;
    }
    if (which != kOperators - 1 && made.n != 1) std::abort();
  }
  return 0;
}
