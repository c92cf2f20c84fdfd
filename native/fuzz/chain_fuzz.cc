// A chain of operators over arbitrary records lets out what the operators let out one after the other, each with the whole
// output of the one before, as in a pipe: bad records are those of their stage, and whatever is held back comes.
//
// Byte 0: record type and number of stages; a byte for each stage; then records, each behind a byte of its length.
#include <cstdlib>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/io/frame.h"
#include "core/operators/add_label.h"
#include "core/operators/chain.h"
#include "core/operators/filter.h"
#include "core/operators/instance_reweight.h"
#include "core/operators/limit.h"
#include "core/operators/shuffle.h"
#include "core/operators/transform.h"

using namespace monolith;

namespace {

using Operators = std::vector<std::shared_ptr<Operator>>;

class Collect : public RecordSink {
 public:
  void Write(const Record& record) override {
    char length[8];
    StoreLe<uint64_t>(length, record.payload.size());
    frames.append(length, sizeof length).append(record.payload);
  }
  void Flush() override {}
  std::string frames;
};

std::shared_ptr<Operator> MakeFilter(RecordType type, const char* where, std::vector<float> thresholds) {
  FilterConfig config;
  config.type = type;
  config.where = where;
  config.label_thresholds = std::move(thresholds);
  return std::make_shared<Filter>(config);
}

std::shared_ptr<Operator> MakeLabel(RecordType type, uint64_t seed) {
  AddLabelConfig config;
  config.type = type;
  config.tasks = {{{1, 2}, {}, 0.5f}};
  config.seed = seed;
  return std::make_shared<AddLabel>(config);
}

std::shared_ptr<Operator> MakeReweight(RecordType type) {
  InstanceReweightConfig config;
  config.type = type;
  config.priority = {1, 2, 3};
  config.weights = {{1, 3, 1}, {2, 0, 1}, {3, 2, -1}};
  return std::make_shared<InstanceReweight>(config);
}

std::shared_ptr<Operator> Make(RecordType type, uint8_t choice) {
  const uint64_t more = choice >> 3;
  switch (choice & 7) {
    case 0: return std::make_shared<ShuffleOperator>(more, more + 1, more & 1 ? 100 : 1 << 20);
    case 1: return std::make_shared<Limit>(more);
    case 2: return MakeFilter(type, "chnid >= 1 or actions any [1, 2]", {});
    case 3: return MakeFilter(type, "", {0, 1});
    case 4: return MakeLabel(type, more);
    case 5: return MakeReweight(type);
    case 6:
      return std::make_shared<Transform>(std::vector<Transform::Step>{
          {{"FilterByLabel", MakeFilter(type, "", {0})}, {"AddLabel", MakeLabel(type, more)}}, {{"FilterByValue", MakeFilter(type, "rank < 7", {})}}});
    default: return std::make_shared<Transform>(std::vector<Transform::Step>{});
  }
}

std::string Run(Operators operators, const std::string& frames, uint64_t* bad) {
  auto sink = std::make_shared<Collect>();
  ChainOptions options;
  options.on_bad_record = OnBadRecord::kSkip;
  Chain chain(operators, sink, options);
  FrameReader reader(std::make_shared<MemorySource>(frames, "fuzz"), {});
  chain.Run(&reader);
  chain.Finish();
  *bad += chain.stats().bad_records;
  uint64_t of_stages = 0;
  for (const OperatorStats& op : chain.Operators()) of_stages += op.bad;
  if (of_stages != chain.stats().bad_records) std::abort();
  return sink->frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 5) return 0;
  const RecordType type = data[0] & 1 ? RecordType::kExample : RecordType::kInstance;
  const size_t stages = 1 + (data[0] >> 1 & 3);
  bool limits = false;
  Operators chained, single;
  for (size_t i = 0; i < stages; ++i) {
    limits |= (data[1 + i] & 7) == 1;
    chained.push_back(Make(type, data[1 + i]));
    single.push_back(Make(type, data[1 + i]));
  }
  Collect input;
  for (size_t at = 1 + stages; at < size;) {
    Record record;
    const size_t n = std::min<size_t>(data[at], size - at - 1);
    record.payload = {reinterpret_cast<const char*>(data + at + 1), n};
    at += 1 + n;
    input.Write(record);
  }
  uint64_t bad = 0, bad_alone = 0;
  const std::string out = Run(chained, input.frames, &bad);
  std::string between = input.frames;
  for (const auto& op : single) between = Run({op}, between, &bad_alone);
  if (out != between) std::abort();
  if (!limits && bad != bad_alone) std::abort();  // behind a limit nobody looks
  return 0;
}
