// Any bytes as messages of a queue: the reader gives the records that a frame reader finds in each, one broken place a
// message at most, and never counts more messages as passed than are.
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "core/io/message_reader.h"

using namespace monolith;

namespace {

class Messages : public MessageSource {
 public:
  Messages(std::string_view bytes, size_t step) : bytes_(bytes), step_(step) {}
  bool NextBatch(std::vector<std::string_view>* messages) override {
    messages->clear();
    if (bytes_.empty()) return false;
    for (int i = 0; i < 3 && !bytes_.empty(); ++i) {
      messages->push_back(bytes_.substr(0, step_));
      bytes_.remove_prefix(messages->back().size());
    }
    batch_ = messages->size();
    return true;
  }
  void Passed(size_t messages, bool) override {
    if (messages > batch_) std::abort();
  }
  std::string Place(size_t i) const override {
    if (i >= batch_) std::abort();
    return std::to_string(i);
  }
  const std::string& name() const override { return name_; }
  void Cancel() override {}

 private:
  std::string_view bytes_;
  size_t step_, batch_ = 0;
  std::string name_ = "fuzz";
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n) {
  if (n < 3) return 0;
  FrameOptions options;
  options.lagrangex_header = data[0] & 1;
  options.kafka_dump_prefix = data[0] & 2;
  options.has_sort_id = data[0] & 4;
  options.kafka_dump = data[0] & 8;
  options.type = static_cast<RecordType>((data[0] >> 4) % 3);
  options.max_record_size = data[1] & 1 ? 100 : uint64_t{1} << 30;
  std::optional<FrameOptions> framed;
  if (data[1] & 2) framed = options;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 3, n - 3);
  MessageReader reader(std::make_shared<Messages>(bytes, 1 + data[2]), framed, options.max_record_size);
  uint64_t end = 0;
  while (true) {
    std::string_view frames;
    if (data[1] & 4 && reader.NextRun(2, &frames) > 0) {
      if (reader.offset() != end + frames.size()) std::abort();
      end = reader.offset();
      reader.Passed(end, true);
      continue;
    }
    Record record;
    try {
      if (!reader.Next(&record)) break;
    } catch (const BadRecord&) {
      reader.Place(record.offset);
    }
    if (record.offset != end || record.end <= end || reader.offset() != record.end) std::abort();
    end = record.end;
    reader.Passed(end, false);
  }
  return 0;
}
