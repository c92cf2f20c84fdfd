// Operators on features, feature lists and sharding, as the core has them: vectors of the specification, and what must not
// happen to the memory of a record. tests/test_feature_operators.py has the models.
#include "check.h"
#include "core/base/fid.h"
#include "core/operators/columns.h"
#include "core/operators/feature_combine.h"
#include "core/operators/switch_slot.h"
#include "core/records/feature_list.h"
#include "core/records/shard_fids.h"

using namespace monolith;

namespace {

std::string Unhex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

class Keep : public RecordSink {
 public:
  void Write(const Record& record) override {
    last = record;
    payload = record.payload;
  }
  void Flush() override {}
  Record last;
  std::string payload;
};

// An Example with v2 fids in each named feature.
std::string Example(const std::vector<std::pair<std::string, std::vector<uint64_t>>>& features) {
  std::string out;
  for (const auto& [name, fids] : features)
    AppendFeature(RecordType::kExample, name, NewFeature::kFids, {reinterpret_cast<const char*>(fids.data()), fids.size() * 8}, &out);
  return out;
}

}  // namespace

TEST(switch_slot_of_the_vector) {
  SwitchSlot op({RecordType::kExample, {{"a", 10, true}, {"b", 10, false}}, "share"});
  const std::string in = Unhex("0a150a0161120c0a0a0a08010000000000800c180530020a1d0a0162121412120a10010000000000c900020000000000c90018063003");
  Keep kept;
  Record record;
  record.payload = in;
  record.framed = true;
  record.offset = 5;
  op.Process(record, &kept);
  CHECK_EQ(kept.payload, Unhex("0a150a0161120c0a0a0a080100000000008002180530020a1d0a0162121412120a10010000000000c900020000000000c9001806"
                               "30030a230a07625f7368617265121412120a100100000000000a000200000000000a0018063003"));
  CHECK(!kept.last.framed);
  CHECK_EQ(kept.last.offset, uint64_t{5});
}

TEST(untouched_records_are_the_same_object) {
  Columns op({RecordType::kExample, {{"x", "y"}}, {"z"}, {}});
  const std::string in = Example({{"a", {1}}});
  Keep kept;
  Record record;
  record.payload = in;
  record.framed = true;
  op.Process(record, &kept);
  CHECK(kept.last.payload.data() == in.data());
  CHECK(kept.last.framed);
}

TEST(products_of_fids) {
  CHECK_EQ(CombineFids(281474976710756u, 59391220085948423u, 505, false), uint64_t{142145769476981436});
  CHECK_EQ(CombineFids(static_cast<uint64_t>(-3), 7, 100, false), uint64_t{28147497671065620});
  CHECK_EQ(fid::SlotV2(CombineFids(281598433499668u, 563937607742410u, 505, true)), uint64_t{505});
}

TEST(feature_list_positions) {
  const FeatureList list = ParseFeatureList("\n# c\nfeature_name=a; slot=5;, shared=Y\n", "f");
  CHECK_EQ(list.features.size(), size_t{1});
  CHECK_EQ(list.features[0].line, size_t{3});
  CHECK_EQ(*list.features[0].slot, int64_t{5});
  CHECK(list.features[0].shared);
  CHECK_THROWS(ParseFeatureList("feature_name=a;slot=5", "f"), ErrorCode::kConfig);
}

TEST(sharding_without_duplicates) {
  ShardConfig config;
  config.type = RecordType::kExample;
  config.features = {{"b", "t", {2}}, {"a", "t", {3}}};
  config.ps_num = 2;
  config.unique = true;
  config.version = 3;
  FidSharder sharder(config);
  sharder.Add(Example({{"a", {4, 6, 4}}, {"b", {4}}}));
  CHECK_THROWS(sharder.Add(Example({{"a", {8}}}) + "\x0a\x7f"), ErrorCode::kBadData);
  sharder.Add(Example({{"b", {4, 9}}}));
  const ShardedFids& s = sharder.Finish();
  CHECK_EQ(s.batch_size, 2);
  CHECK(s.fids[0] == (std::vector<uint64_t>{4, 6, 4}));
  CHECK(s.fids[1] == (std::vector<uint64_t>{9}));
  CHECK(s.fid_offset == (std::vector<uint64_t>{0, 3, 0, 6, 6, uint64_t{1} << 32}));
  CHECK(s.feature_offset == (std::vector<int32_t>{0, 3, 3, 4, 6}));
  CHECK(s.nfl_offset == (std::vector<uint32_t>{0, 2, 5}));
  CHECK_EQ(sharder.rows(), size_t{0});
}
