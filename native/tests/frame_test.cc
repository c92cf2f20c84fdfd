#include "core/io/frame.h"

#include "check.h"
#include "core/wire/wire.h"
#include "io_helpers.h"

using namespace monolith;

static FrameOptions Options(int bits) {
  FrameOptions o;
  o.lagrangex_header = bits & 8;
  o.kafka_dump_prefix = bits & 4;
  o.has_sort_id = bits & 2;
  o.kafka_dump = bits & 1;
  o.type = RecordType::kExample;  // an absent key of 0 leaves such a payload as it is
  return o;
}
static std::vector<std::string> Read(const std::string& bytes, const FrameOptions& o, size_t step = 1 << 20) {
  FrameReader reader(std::make_shared<DripSource>(bytes, step), o);
  return ReadAll(reader);
}

TEST(GoldenFrames) {
  const char* golden[16] = {};
  golden[0] = "0300000000000000616263";
  golden[1] = nullptr;
  golden[2] = "00000000000000000300000000000000616263";
  golden[3] = "000000000000000000000000000000000300000000000000616263";
  golden[6] = "0000000000000000000000000000000000000000000000000300000000000000616263";
  golden[7] = "00000000000000000000000000000000000000000000000000000000000000000300000000000000616263";
  for (int bits = 8; bits < 16; ++bits) golden[bits] = "00000000000000000300000000000000616263";
  for (int bits = 0; bits < 16; ++bits) {
    if (!golden[bits]) continue;
    std::string out;
    AppendFrame(Options(bits), "abc", &out);
    CHECK(out == FromHex(golden[bits]));
    if (bits >= 8) continue;  // `abc` is no message, so it cannot take a key
    CHECK(Read(out, Options(bits)) == std::vector<std::string>{"abc"});
  }
  CHECK(Read(FromHex("0600000000000000746573745f310300000000000000616263"), Options(2)) == std::vector<std::string>{"abc"});
  CHECK(Read(FromHex("020000000000000078790300000000000000616263"), Options(6)) == std::vector<std::string>{"abc"});
}

TEST(EveryCombinationReadsBack) {
  std::vector<std::string> payloads;
  for (int i = 0; i < 16; ++i) {
    std::string p;
    if (i) wire::Writer(&p).Bytes(1, std::string(i, 'a'));
    payloads.push_back(p);
  }
  for (int bits = 0; bits < 16; ++bits)
    for (size_t step : {1, 7, 1 << 20}) CHECK(Read(Frames(payloads, Options(bits)), Options(bits), step) == payloads);
}

TEST(OffsetsAndFrames) {
  for (int bits : {0, 2, 7}) {
    const std::string bytes = Frames({"a", "", "ccc"}, Options(bits));
    FrameReader reader(std::make_shared<MemorySource>(bytes, "m"), Options(bits));
    Record r;
    uint64_t at = 0;
    while (reader.Next(&r)) {
      CHECK_EQ(r.offset, at);
      CHECK(bytes.substr(r.end - r.payload.size(), r.payload.size()) == r.payload);
      if (r.framed) CHECK(LoadLe<uint64_t>(r.payload.data() - 8) == r.payload.size());
      at = r.end;
      CHECK_EQ(reader.offset(), at);
    }
    CHECK_EQ(at, bytes.size());
  }
}

TEST(StartsAtAnOffset) {
  const std::string bytes = Frames({"first", "second", "third"});
  FrameReader reader(std::make_shared<DripSource>(bytes, 3), {}, 13);
  CHECK_EQ(reader.offset(), 13u);
  CHECK((ReadAll(reader) == std::vector<std::string>{"second", "third"}));
  CHECK_THROWS(FrameReader(std::make_shared<DripSource>(bytes, 3), {}, bytes.size() + 1), ErrorCode::kBadData);
  FrameReader at_end(std::make_shared<MemorySource>(bytes, "m"), {}, bytes.size());
  CHECK(ReadAll(at_end).empty());
}

TEST(KeyOfTheHeaderReplacesThatOfTheMessage) {
  for (RecordType type : {RecordType::kInstance, RecordType::kExample, RecordType::kExampleBatch}) {
    const uint32_t number = type == RecordType::kExample ? 103 : 100;
    std::string message, expected;
    wire::Writer w(&message);
    w.Varint(number, 5);
    w.Bytes(1, "x");
    w.Varint(number, 6);
    w.Varint(200, 1);
    wire::Writer e(&expected);
    e.Bytes(1, "x");
    e.Varint(200, 1);
    std::string bytes = FromHex("07f30d0000000000");  // flow `pc`, pb type 7
    AppendFrame({}, message, &bytes);
    FrameOptions o;
    o.lagrangex_header = true;
    o.type = type;
    std::string with_key = expected;
    wire::Writer(&with_key).Varint(number, 914176);
    CHECK(Read(bytes, o) == std::vector<std::string>{with_key});
    std::string without;
    AppendFrame(o, message, &without);
    if (type == RecordType::kInstance) wire::Writer(&expected).Varint(number, 0);
    CHECK(Read(without, o) == std::vector<std::string>{expected});
  }
}

TEST(PayloadThatCannotTakeAKeyIsOneBadRecord) {
  FrameOptions o;
  o.lagrangex_header = true;
  FrameReader reader(std::make_shared<MemorySource>(Frames({"\x0a\x7f", ""}, o), "m"), o);
  Record r;
  CHECK_THROWS(reader.Next(&r), ErrorCode::kBadData);
  CHECK_EQ(r.payload, "\x0a\x7f");
  CHECK(reader.Next(&r));
  CHECK(!reader.Next(&r));
}

TEST(BrokenLengths) {
  auto message = [](const char* hex, int bits) { return MessageOf([&] { Read(FromHex(hex), Options(bits)); }); };
  CHECK(message("fefefefe00000000", 0).find("drip: byte 0: the record length is the reserved marker") == 0);
  CHECK(message("0100000000000000" "61" "ffffffffffffffff", 0).find("drip: byte 9: a record length of 18446744073709551615") == 0);
  CHECK(message("ffffffffffffffff", 0).find("--has-sort-id") != std::string::npos);
  CHECK(message("fbffffffffffffff", 0).find("over the limit of 1073741824") != std::string::npos);
  CHECK(message("ffffffffffffffff", 2).find("a sort id of 18446744073709551615 bytes") != std::string::npos);
  CHECK(message("0200000000000000" "7879" "0300000000000000616263", 4).find("try --has-sort-id") != std::string::npos);
}

TEST(CutShortAnywhere) {
  const std::vector<std::string> payloads = {"\x0a\x03" "abc", "\x0a\x02" "de"};
  for (int bits : {0, 1, 2, 3, 4, 6, 7, 8}) {
    const std::string bytes = Frames(payloads, Options(bits));
    const size_t second = Frames({payloads[0]}, Options(bits)).size();
    for (size_t n = 1; n < bytes.size(); ++n) {
      if (n == second) continue;
      FrameReader reader(std::make_shared<DripSource>(bytes.substr(0, n), 5), Options(bits));
      Record r;
      if (n > second) CHECK(reader.Next(&r) && r.payload == payloads[0]);
      CHECK_THROWS(reader.Next(&r), ErrorCode::kBadData);
      std::string rest(100, '\0');
      rest.resize(reader.ReadRest(rest.data(), rest.size()));
      CHECK(rest == bytes.substr(n > second ? second : 0, n - (n > second ? second : 0)));
    }
  }
}

TEST(MessageNamesTheFramingThatFits) {
  std::string p;
  wire::Writer(&p).Bytes(1, "some content");
  FrameOptions right;
  right.has_sort_id = true;
  right.kafka_dump = true;
  std::string bytes;
  for (int i = 0; i < 5; ++i) {
    bytes += FromHex("0600000000000000746573745f31");
    bytes += FromHex("1122334455667788");
    AppendFrame({}, p, &bytes);
  }
  const std::string text = MessageOf([&] { Read(bytes, {}); });
  CHECK(text.find("try --has-sort-id --kafka-dump") != std::string::npos);
}

TEST(LimitIsAnOption) {
  FrameOptions o;
  o.max_record_size = 4;
  CHECK_EQ(Read(Frames({"1234"}), o).size(), 1u);
  CHECK_THROWS(Read(Frames({"12345"}), o), ErrorCode::kBadData);
}

TEST(RecordsLargerThanTheBuffer) {
  const std::vector<std::string> payloads = {std::string(3 << 20, 'x'), "y", std::string(300000, 'z')};
  CHECK(Read(Frames(payloads), {}, 100000) == payloads);
}

TEST(BufferedTellsWhenNextNeedNotRead) {
  FrameReader reader(std::make_shared<DripSource>(Frames({"ab", "cd"}), 15), {});
  Record r;
  CHECK(!reader.Buffered());
  CHECK(reader.Next(&r));
  CHECK(!reader.Buffered());  // five bytes of the second frame are here
  CHECK(reader.Next(&r));
  CHECK(!reader.Next(&r));
}

TEST(HadoopSnappy) {
  for (const char* hex : {"0000001600000015160403000901346162630300000000000000646566",
                          "000000160000000d0b2803000000000000006162630000000d0b280300000000000000646566"}) {
    const std::string bytes = FromHex(hex);
    FrameReader reader(MakeHadoopSnappySource(std::make_shared<DripSource>(bytes, 3)), {});
    CHECK((ReadAll(reader) == std::vector<std::string>{"abc", "def"}));
    for (size_t n = 1; n < bytes.size(); ++n) {
      FrameReader cut(MakeHadoopSnappySource(std::make_shared<DripSource>(bytes.substr(0, n), 3)), {});
      CHECK_THROWS(ReadAll(cut), ErrorCode::kBadData);
    }
  }
  for (const char* bad : {"ff060000734e61507059", "0000001600000015170403000901346162630300000000000000646566",
                          "0000000300000015160403000901346162630300000000000000646566", "00000016ffffffff00"})
    CHECK_THROWS(Read("", {}); FrameReader r(MakeHadoopSnappySource(std::make_shared<MemorySource>(FromHex(bad), "m")), {});
                 ReadAll(r), ErrorCode::kBadData);
}
