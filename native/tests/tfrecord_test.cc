#include "core/io/tfrecord.h"

#include "check.h"
#include "io_helpers.h"

using namespace monolith;

static std::string Stream(const std::vector<std::string>& payloads) {
  std::string out;
  for (const auto& p : payloads) AppendTFRecord(p, &out);
  return out;
}

TEST(GoldenBytes) {  // as TensorFlow's own writer makes them
  CHECK(Stream({"abc"}) == FromHex("0300000000000000b099490e6162636e57f121"));
}

TEST(ReadsBack) {
  const std::vector<std::string> payloads = {"", "a", std::string(500000, 'b'), "c"};
  for (size_t step : {1 << 10, 1 << 20}) {
    TFRecordReader reader(std::make_shared<DripSource>(Stream(payloads), step));
    CHECK(ReadAll(reader) == payloads);
  }
  TFRecordReader from(std::make_shared<DripSource>(Stream(payloads), 100), 1 << 20, 16 + 17);
  CHECK((ReadAll(from) == std::vector<std::string>{payloads[2], payloads[3]}));
}

TEST(FlippedBits) {
  const std::string good = Stream({"first", "second", "third"});
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] ^= 4;
    TFRecordReader reader(std::make_shared<MemorySource>(bad, "m"));
    CHECK_THROWS(ReadAll(reader), ErrorCode::kBadData);
  }
}

TEST(WrongDataChecksumIsOneBadRecord) {
  std::string bytes = Stream({"first", "second"});
  bytes[12] ^= 1;
  TFRecordReader reader(std::make_shared<MemorySource>(bytes, "m"));
  Record r;
  bool bad = false;
  try {
    reader.Next(&r);
  } catch (const BadRecord&) {
    bad = true;
  }
  CHECK(bad);
  CHECK(reader.Next(&r) && r.payload == "second");
  CHECK(!reader.Next(&r));
}

TEST(CutShortAnywhere) {
  const std::string bytes = Stream({"first", "second"});
  const size_t second = Stream({"first"}).size();
  for (size_t n = 1; n < bytes.size(); ++n) {
    if (n == second) continue;
    TFRecordReader reader(std::make_shared<DripSource>(bytes.substr(0, n), 4));
    CHECK_THROWS(ReadAll(reader), ErrorCode::kBadData);
  }
}
