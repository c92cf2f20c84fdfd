// The texts that configure labels: the first byte chooses the grammar. Whatever is read must make an operator that runs;
// what is not must be a usage error with its caret.
#include <cstdlib>

#include "core/base/error.h"
#include "core/operators/add_label.h"
#include "core/operators/instance_reweight.h"
#include "core/operators/label_normalization.h"
#include "core/operators/multi_label_gen.h"
#include "core/operators/scatter_label.h"

using namespace monolith;

namespace {

std::unique_ptr<Operator> Make(uint8_t grammar, const std::string& text) {
  const RecordType type = grammar & 1 ? RecordType::kInstance : RecordType::kExample;
  switch ((grammar >> 1) % 5) {
    case 0: return std::make_unique<AddLabel>(AddLabelConfig{type, ParseTasks("--task", text), 0, 1, 0});
    case 1: return std::make_unique<ScatterLabel>(type, ParseScatter("--scatter", text));
    case 2: return std::make_unique<LabelNormalization>(type, ParseNormalization("--norm", text), false);
    case 3: {
      MultiLabelGenConfig config;
      config.type = type;
      config.head_field = "cid";
      config.heads = ParseHeads("--head", text);
      config.from_label = true;
      return std::make_unique<MultiLabelGen>(config);
    }
    default: return std::make_unique<InstanceReweight>(InstanceReweightConfig{type, {1, 2}, ParseReweight("--reweight", text)});
  }
}

class Count : public RecordSink {
 public:
  void Write(const Record&) override { ++n; }
  void Flush() override {}
  uint64_t n = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  std::unique_ptr<Operator> op;
  try {
    op = Make(data[0], text);
  } catch (const Error& e) {
    const std::string message = e.what();
    if (e.code() != ErrorCode::kUsage || message.compare(0, 2, "--") != 0) std::abort();
    if (message.find("\n  ") == std::string::npos || message.find('^') == std::string::npos) std::abort();
    return 0;
  }
  // label [1], line_id {actions [1, 2], cid "a"} in both containers
  for (const char* bytes : {"\x1a\x04\0\0\x80\x3f\x2a\x07\x32\x02\x01\x02\x82\x03\0", "\xa2\x06\x07\x32\x02\x01\x02\x82\x03\0"}) {
    Count made;
    Record record;
    record.payload = {bytes, bytes[0] == 0x1a ? 15u : 10u};
    op->Process(record, &made);
    if (made.n != 1 && (data[0] >> 1) % 5 != 4) std::abort();
  }
  return 0;
}
