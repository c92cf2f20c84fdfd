// Any bytes as a stream, under any framing: every reader ends with records or an Error, in bounded memory; what it reads
// without headers, written again, is what it was.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "core/io/byte_source.h"
#include "core/io/frame.h"
#include "core/io/shard_reader.h"
#include "core/io/tfrecord.h"

using namespace monolith;

namespace {

class DripSource : public ByteSource {
 public:
  DripSource(std::string_view bytes, size_t step) : ByteSource("fuzz"), bytes_(bytes), step_(step) {}
  size_t Read(char* to, size_t n) override {
    const size_t got = std::min({n, step_, bytes_.size()});
    bytes_.copy(to, got);
    bytes_.remove_prefix(got);
    return got;
  }

 private:
  std::string_view bytes_;
  size_t step_;
};

void ReadAll(RecordReader& reader, std::string* bare) {
  Record record;
  uint64_t end = reader.offset();
  while (true) {
    const bool buffered = reader.Buffered();
    try {
      if (!reader.Next(&record)) return;
    } catch (const BadRecord&) {
      continue;
    }
    if (record.offset < end || record.end <= record.offset || reader.offset() != record.end) std::abort();
    if (buffered && reader.offset() == 0) std::abort();
    end = record.end;
    AppendFrame({}, record.payload, bare);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n) {
  if (n < 2) return 0;
  FrameOptions options;
  options.lagrangex_header = data[0] & 1;
  options.kafka_dump_prefix = data[0] & 2;
  options.has_sort_id = data[0] & 4;
  options.kafka_dump = data[0] & 8;
  options.type = static_cast<RecordType>((data[0] >> 4) % 3);
  options.max_record_size = data[1] & 1 ? 100 : uint64_t{1} << 30;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, n - 2);
  std::shared_ptr<ByteSource> source = std::make_shared<DripSource>(bytes, 1 + (data[1] >> 4) * 5u);
  if ((data[1] & 14) == 2) source = MakeHadoopSnappySource(source);
  std::shared_ptr<RecordReader> reader;
  if ((data[1] & 14) == 4)
    reader = std::make_shared<TFRecordReader>(source);
  else
    reader = std::make_shared<FrameReader>(source, options);
  if ((data[1] & 14) == 6) {
    ShardReader shard(reader, data[0] % 3, 3);
    std::string ignored;
    try {
      Record record;
      while (shard.Buffered() || true)
        if (!shard.Next(&record)) break;
    } catch (const Error&) {
    }
    return 0;
  }
  std::string bare;
  try {
    ReadAll(*reader, &bare);
    if (options.bare() && (data[1] & 14) == 0 && bare != bytes) std::abort();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData) std::abort();
    char rest[64];
    try {
      while (reader->ReadRest(rest, sizeof rest)) {
      }
    } catch (const Error&) {
    }
    if (options.bare() && (data[1] & 14) == 0 && bytes.substr(0, bare.size()) != bare) std::abort();
  }
  return 0;
}
