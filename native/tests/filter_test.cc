#include "core/operators/filter.h"

#include <unistd.h>

#include <cmath>

#include <cstdlib>
#include <functional>
#include <fstream>
#include <iterator>

#include "core/base/fid.h"
#include "core/wire/schema.h"
#include "core/wire/wire.h"
#include "tests/check.h"

using namespace monolith;

namespace {

class Kept : public RecordSink {
 public:
  void Write(const Record& record) override { payloads.emplace_back(record.payload); }
  void Flush() override {}
  std::vector<std::string> payloads;
};

bool Keeps(const FilterConfig& config, const std::string& record) {
  Filter filter(config);
  Kept kept;
  Record r;
  r.payload = record;
  filter.Process(r, &kept);
  CHECK(kept.payloads.empty() || kept.payloads[0] == record);
  uint64_t dropped = 0;
  for (const auto& [reason, count] : filter.DroppedBy()) dropped += count;
  CHECK_EQ(dropped, 1 - kept.payloads.size());
  return !kept.payloads.empty();
}

std::string Packed(uint32_t number, const std::vector<uint64_t>& fids) {
  std::string out;
  wire::Writer(&out).Packed(number, fids.data(), fids.size());
  return out;
}

std::string Field(uint32_t number, const std::string& bytes) {
  std::string out;
  wire::Writer(&out).Bytes(number, bytes);
  return out;
}

std::string LineId(int64_t req_time, const std::vector<int>& actions) {
  std::string out, packed;
  wire::Writer w(&out);
  wire::Writer p(&packed);
  w.Varint(3, static_cast<uint64_t>(req_time));
  for (int a : actions) p.RawVarint(static_cast<uint64_t>(int64_t{a}));
  w.Bytes(6, packed);
  return out;
}

// R1, R2 and R3 of spec 20, TV-A.
const std::string kR1 = Packed(1, {6436927642569553426u, 6457882839108881377u, 6461985998153810495u}) +
                        Field(5, LineId(1700000000, {-1, 1}));
const std::string kR2 = Packed(1, {36028797018964168u, 54043195528446252u}) + Field(9, Packed(2, {288230376151814144u})) +
                        Field(9, Packed(2, {1152921504607256576u}));
std::string Named(const char* name, uint32_t member, uint64_t f) {
  return Field(1, Field(1, name) + Field(2, Field(member, Packed(1, {f}))));
}
const std::string kR3 = Named("user_id", 1, 36028797018964168u) + Named("item_id", 1, 54043195528446252u) +
                        Named("gender", 2, 288230376151814144u) + Named("age", 2, 1152921504607256576u);

FilterConfig Config(const std::function<void(FilterConfig&)>& set, RecordType type = RecordType::kInstance) {
  FilterConfig config;
  config.type = type;
  set(config);
  return config;
}

}  // namespace

TEST(a1_to_a3_req_time) {
  CHECK(Keeps(Config([](auto& c) { c.req_time_min = 1626537600; }), kR1));
  CHECK(Keeps(Config([](auto& c) { c.req_time_min = 1700000000; }), kR1));
  CHECK(!Keeps(Config([](auto& c) { c.req_time_min = 1700000001; }), kR1));
}

TEST(a4_to_a8_fids) {
  const uint64_t a = 6436927642569553426u, b = 6457882839108881377u;
  CHECK(!Keeps(Config([&](auto& c) { c.filter_fids = {a}; }), kR1));
  CHECK(Keeps(Config([&](auto& c) { c.filter_fids = {5, 6, 7, 8, 9, 10}; }), kR1));
  CHECK(Keeps(Config([&](auto& c) { c.has_fids = {a, 5}; }), kR1));
  CHECK(Keeps(Config([&](auto& c) { c.has_fids = {1, 2, 3, 4, 5, a}; }), kR1));
  CHECK(!Keeps(Config([&](auto& c) { c.has_fids = {1, 2, 3, 4, 5, 0}; }), kR1));
  CHECK(Keeps(Config([&](auto& c) { c.select_fids = {a, b, a}; }), kR1));
  CHECK(!Keeps(Config([&](auto& c) { c.select_fids = {a, 5}; }), kR1));
  CHECK(!Keeps(Config([&](auto& c) { c.filter_fids = {a}, c.has_fids = {a, 5}, c.select_fids = {a, b}; }), kR1));
}

TEST(a9_a10_actions_and_defaults) {
  CHECK(Keeps(Config([](auto& c) { c.has_actions = {-1}; }), kR1));
  CHECK(Keeps(Config([](auto& c) { c.has_actions = {1, 5}; }), kR1));
  CHECK(!Keeps(Config([](auto& c) { c.has_actions = {2}; }), kR1));
  const std::string early = Field(5, LineId(-5, {}));
  CHECK(!Keeps(Config([](auto&) {}), early));
  CHECK(!Keeps(Config([](auto& c) { c.filter_fids = {1}; }), early));
  CHECK(Keeps(Config([](auto& c) { c.where = "chnid == 0"; }), early));
  CHECK(Keeps(Config([](auto&) {}), ""));
}

TEST(a11_to_a14_slots) {
  const auto slots = [](std::vector<uint32_t> s, RecordType type) {
    return Config([&](auto& c) { c.select_slots = s; }, type);
  };
  CHECK(Keeps(slots({2, 3, 1024, 4096}, RecordType::kInstance), kR2));
  CHECK(Keeps(slots({2, 3, 1024, 4096}, RecordType::kExample), kR3));
  CHECK(!Keeps(slots({2, 10}, RecordType::kInstance), kR2));
  CHECK(!Keeps(slots({2, 10}, RecordType::kExample), kR3));
  const auto has_v2 = [](RecordType type) { return Config([](auto& c) { c.has_fids = {288230376151814144u}; }, type); };
  CHECK(!Keeps(has_v2(RecordType::kInstance), kR2));
  CHECK(Keeps(has_v2(RecordType::kExample), kR3));
  CHECK_THROWS(Filter(slots({32768}, RecordType::kInstance)), ErrorCode::kUsage);
  CHECK_THROWS(Filter(slots({1}, RecordType::kExampleBatch)), ErrorCode::kUsage);
}

TEST(scan_finds_every_place) {
  for (size_t n = 1; n < 20; ++n) {
    for (size_t at = 0; at < n; ++at) {
      std::vector<uint64_t> fids(n, fid::MakeV1(7, 1));
      fids[at] = fid::MakeV1(1023, ~uint64_t{0});
      std::string unaligned = "x" + std::string(reinterpret_cast<const char*>(fids.data()), n * 8);
      CHECK(ScanForSlotV1(unaligned.data() + 1, n, 1023));
      CHECK(!ScanForSlotV1(unaligned.data() + 1, n, 511));
      CHECK(ScanForFid(unaligned.data() + 1, n, fids[at]));
      CHECK(ScanForSlotV2(unaligned.data() + 1, n, 32767));
      CHECK(!ScanForSlotV2(unaligned.data() + 1, at, 32767));
    }
  }
}

TEST(another_member_of_the_oneof_takes_fids_back) {
  const auto feature = [](const std::string& content) { return Field(1, Field(1, "f") + Field(2, content)); };
  const std::string list = Packed(1, {fid::MakeV1(5, 1)});
  const FilterConfig five = Config([](auto& c) { c.select_slots = {5}; }, RecordType::kExample);
  CHECK(Keeps(five, feature(Field(1, list))));
  CHECK(!Keeps(five, feature(Field(1, list) + Field(3, ""))));
  CHECK(Keeps(five, feature(Field(3, "") + Field(1, list))));
  CHECK(!Keeps(five, feature(Field(1, list) + Field(2, ""))));
  CHECK(Keeps(five, feature(Field(1, list) + Field(1, ""))));
  CHECK(!Keeps(five, feature(Field(7, Field(1, list)))));
}

TEST(labels_c1_to_c4) {
  const auto labels = [](std::vector<float> values) {
    std::string out;
    wire::Writer(&out).Packed(3, values.data(), values.size());
    return out;
  };
  const auto config = [](std::vector<float> thresholds, bool strict) {
    return Config([&](auto& c) { c.label_thresholds = thresholds, c.label_strict = strict; });
  };
  CHECK(!Keeps(config({-100, 0}, false), labels({-1000, -1})));
  CHECK(Keeps(config({-100, 0}, false), labels({-1000, 0})));
  CHECK(Keeps(config({-100, 0}, false), labels({-1, -1})));
  CHECK(Keeps(config({-100, 0}, false), labels({-1, 1})));
  CHECK(Keeps(config({0, 1}, false), labels({0, 1})));
  CHECK(!Keeps(config({0, 1}, true), labels({0, 1})));
  CHECK(Keeps(config({0, 1}, true), labels({0, 2})));
  CHECK(!Keeps(config({0, 1}, false), labels({5})));
  CHECK(!Keeps(config({0}, false), labels({NAN})));
}

TEST(reasons_invert_and_rejected) {
  char path[] = "/tmp/filter_test_XXXXXX";
  close(mkstemp(path));
  Kept kept;
  {
    FilterConfig config;
    config.where = "chnid == 1";
    config.req_time_min = 10;
    config.invert = true;
    config.rejected = path;
    Filter filter(config);
    for (const std::string& line_id : {LineId(5, {}), LineId(10, {}) + std::string("\x98\x01\x01", 3)}) {
      const std::string payload = Field(5, line_id);
      Record record;
      record.payload = payload;
      filter.Process(record, &kept);
    }
    CHECK_EQ(filter.DroppedBy().at("invert"), 1u);
    CHECK_EQ(filter.DroppedBy().size(), 1u);
    CHECK_EQ(kept.payloads.size(), 1u);
    std::ifstream before(path);
    CHECK_EQ(before.peek(), std::char_traits<char>::eof());
    filter.Finish(&kept);
    filter.Finish(&kept);
  }
  std::ifstream file(path, std::ios::binary);
  const std::string written((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::string payload = Field(5, LineId(10, {}) + std::string("\x98\x01\x01", 3));
  std::string expected(8, '\0');
  expected[0] = static_cast<char>(payload.size());
  CHECK(written == expected + payload);
  unlink(path);
}

TEST(a_broken_record_drops_nothing) {
  Filter filter(Config([](auto& c) { c.select_slots = {1}; }));
  Kept kept;
  Record record;
  record.payload = std::string_view("\x0a\x09", 2);
  CHECK_THROWS(filter.Process(record, &kept), ErrorCode::kBadData);
  CHECK(filter.DroppedBy().empty());
}
