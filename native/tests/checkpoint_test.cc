#include "core/tables/checkpoint.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "check.h"
#include "core/base/crc32c.h"
#include "core/base/snappy.h"
#include "core/tables/checkpoint_files.h"
#include "core/tables/entry_codec.h"
#include "core/tables/record_file.h"

using namespace monolith;
using Kind = OptimizerConfig::Kind;

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/checkpoint_test.XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { [[maybe_unused]] int ignored = std::system(("rm -rf " + path).c_str()); }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    DIR* d = opendir(path.c_str());
    while (const dirent* e = readdir(d))
      if (e->d_name[0] != '.') names.push_back(e->d_name);
    closedir(d);
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string path;
};

std::string Unhex(const std::string& hex) {
  std::string s;
  for (size_t i = 0; i < hex.size(); i += 2) s.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return s;
}
std::string Hex(const std::string& s) {
  std::string hex;
  char two[3];
  for (unsigned char c : s) std::snprintf(two, 3, "%02x", c), hex += two;
  return hex;
}
std::string Slurp(const std::string& path) {
  std::ifstream f(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(f), {}};
}
void Spill(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

TableConfig Table(const std::string& name, std::vector<std::pair<int, Kind>> segments) {
  TableConfig c;
  c.name = name;
  for (auto [dim, kind] : segments) {
    SegmentConfig s;
    s.dim = dim;
    s.optimizer.kind = kind;
    s.initializer.kind = InitializerConfig::Kind::kConstant;
    c.segments.push_back(s);
  }
  return c;
}

std::string Encode(const TableConfig& c, int64_t key, std::vector<float> row, uint32_t ts) {
  const RowPlan plan(c);
  CHECK_EQ(row.size(), size_t(plan.row_floats()));
  std::string out;
  EntryCodec(c.name, plan).Append({key, ts, row.data()}, &out);
  return Hex(out);
}

void Put(EmbeddingTable& t, int64_t key, std::vector<float> v, uint32_t now = 0) { t.Assign(&key, 1, v.data(), now); }
std::vector<float> Get(const EmbeddingTable& t, int64_t key) {
  std::vector<float> v(static_cast<size_t>(t.dim()), -7);
  if (!t.Lookup(&key, 1, v.data())) v.clear();
  return v;
}

constexpr char kV11[] = "097b00000000000100150000803f15000020c01a0e0a0c0a0a0dcdcccc3d0dcdcc4c3e2080e2cfaa06";
constexpr char kV12[] = "09ffffffffffffffff150000803f1a040a0212002000";
constexpr char kV14[] =
    "092a00000000000000150000003f150000803e15000000be1a300a0c1a0a0d0000403f150000803f0a203a1e0d0000003f0d0000803e"
    "150000803f15000000401d295c4f3f25d5e77a3f2064";
constexpr char kV21[] =
    "16000000000000004f61be2809010000000000000015000000401a040a02120020001d6018ec16000000000000004f61be2809ffffffffffffffff"
    "150000803f1a040a021200200073bcb822";

}  // namespace

TEST(V1_Entries) {
  CHECK_EQ(Encode(Table("t", {{2, Kind::kAdagrad}}), (int64_t{1} << 48) + 123, {1, -2.5f, .1f, .2f}, 1700000000), kV11);
  CHECK_EQ(Encode(Table("t", {{1, Kind::kSgd}}), -1, {1}, 0), kV12);
  const TableConfig two = Table("t", {{1, Kind::kFtrl}, {2, Kind::kAdam}});
  // Weights; norm, zero; m, v, powers.
  const std::vector<float> row = {.5f, .25f, -.125f, 1, .75f, .5f, .25f, 1, 2, .81f, .9801f};
  CHECK_EQ(Encode(two, 42, row, 100), kV14);

  const RowPlan plan(two);
  std::vector<float> floats(row.size());
  const EntryCodec codec("t", plan);
  EntryCodec::Entry e = codec.Decode(Unhex(kV14), floats.data());
  CHECK(floats == row && e.key == 42 && e.timestamp == 100);
  // The same in another order and with packed floats, an unknown field in between.
  floats.assign(row.size(), 0);
  std::string packed = Unhex("2064a20603616263120c0000003f0000803e000000be");
  packed += Unhex("1a300a0c1a0a0d0000403f150000803f0a203a1e0d0000003f0d0000803e150000803f15000000401d295c4f3f25d5e77a3f");
  packed += Unhex("092a00000000000000");
  e = codec.Decode(packed, floats.data());
  CHECK(floats == row && e.key == 42 && e.timestamp == 100);
}

TEST(V1_5_6_EntriesWithoutFloatsOfState) {
  constexpr char kV15[] = "09070000000000000015000040401a002005";
  constexpr char kV16[] = "09070000000000000015000040401a070a05720308e3072000";
  CHECK_EQ(Encode(Table("t", {{1, Kind::kMovingAverage}}), 7, {3}, 5), kV15);
  const TableConfig softmax = Table("t", {{1, Kind::kBatchSoftmax}});
  std::vector<float> row(3);
  row[0] = 3;
  const int64_t step = 995;
  std::memcpy(&row[1], &step, sizeof step);
  CHECK_EQ(Encode(softmax, 7, row, 0), kV16);
  const RowPlan plan(softmax);
  std::vector<float> floats(3);
  const EntryCodec::Entry e = EntryCodec("t", plan).Decode(Unhex(kV16), floats.data());
  CHECK(e.key == 7 && e.timestamp == 0 && std::memcmp(floats.data(), row.data(), 12) == 0);
}

TEST(EveryOptimizerComesBackBitByBit) {
  const Kind kinds[] = {Kind::kAdadelta, Kind::kMovingAverage, Kind::kAmsgrad, Kind::kMomentum, Kind::kRmsprop,
                        Kind::kBatchSoftmax, Kind::kRmspropV2, Kind::kGroupAdagrad, Kind::kMovingAverage};
  const auto check = [](const TableConfig& c) {
    const RowPlan plan(c);
    std::vector<float> row(static_cast<size_t>(plan.row_floats()));
    for (uint32_t i = 0; i < row.size(); ++i) {
      const uint32_t bits = 0x3f800000u + i * 2654435761u % 0x7fffff;
      std::memcpy(&row[i], &bits, 4);
    }
    std::string message;
    const EntryCodec codec("t", plan);
    codec.Append({-9, 77, row.data()}, &message);
    std::vector<float> back(row.size());
    const EntryCodec::Entry e = codec.Decode(message, back.data());
    CHECK(e.key == -9 && e.timestamp == 77 && std::memcmp(back.data(), row.data(), row.size() * 4) == 0);
    // The same by the way that any order of fields takes: an unknown field in front.
    std::fill(back.begin(), back.end(), 0.f);
    codec.Decode(Unhex("a20603616263") + message, back.data());
    CHECK(std::memcmp(back.data(), row.data(), row.size() * 4) == 0);
  };
  std::vector<std::pair<int, Kind>> all;
  for (Kind kind : kinds) {
    const int dim = kind == Kind::kBatchSoftmax ? 1 : 17;
    check(Table("t", {{dim, kind}}));
    check(Table("t", {{3, Kind::kAdam}, {dim, kind}, {2, Kind::kAdagrad}}));
    all.push_back({dim, kind});
  }
  check(Table("t", all));
}

TEST(MismatchNamesTableKeyAndShapes) {
  const auto message = [](const TableConfig& c, const std::string& hex) -> std::string {
    const RowPlan plan(c);
    std::vector<float> floats(static_cast<size_t>(plan.row_floats()));
    try {
      EntryCodec(c.name, plan).Decode(Unhex(hex), floats.data());
    } catch (const Error& e) {
      CHECK(e.code() == ErrorCode::kConfig);
      return e.what();
    }
    return "no error";
  };
  std::string m = message(Table("movie", {{3, Kind::kAdagrad}}), kV11);
  for (const char* part : {"movie", "281474976710779", "dim 2, adagrad state of 2 numbers", "dim 3, adagrad state of 3 numbers"})
    CHECK(m.find(part) != std::string::npos);
  m = message(Table("movie", {{2, Kind::kSgd}}), kV11);
  CHECK(m.find("sgd state of 0") != std::string::npos && m.find("adagrad state of 2") != std::string::npos);
  CHECK(message(Table("t", {{1, Kind::kAdam}}), kV12) != "no error");
  CHECK(message(Table("t", {{1, Kind::kFtrl}, {2, Kind::kAdam}}), kV14) == "no error");
  CHECK(message(Table("t", {{2, Kind::kAdam}, {1, Kind::kFtrl}}), kV14) != "no error");
  CHECK(message(Table("t", {{1, Kind::kFtrl}, {1, Kind::kSgd}, {1, Kind::kSgd}}), kV14) != "no error");
  // An item dump has no optimizer state: it goes into sgd alone.
  CHECK(message(Table("t", {{1, Kind::kSgd}}), "090700000000000000150000803f") == "no error");
  CHECK(message(Table("t", {{1, Kind::kAdagrad}}), "090700000000000000150000803f") != "no error");
}

TEST(V2_Files) {
  Folder dir;
  const std::string plain = dir.path + "/p", snappy = dir.path + "/s";
  for (auto [path, container] : {std::make_pair(plain, Container::kPlain), std::make_pair(snappy, Container::kSnappyBlocks)}) {
    RecordFileWriter w(path, container);
    w.Write(Unhex("09010000000000000015000000401a040a0212002000"));
    w.Write(Unhex(kV12));
    w.Finish();
  }
  CHECK_EQ(Hex(Slurp(plain)), kV21);
  const std::string block = Slurp(snappy);
  std::string content;
  SnappyDecompress(std::string_view(block).substr(4), &content);
  CHECK_EQ(Hex(content), kV21);
  CHECK_EQ(static_cast<unsigned char>(block[3]), block.size() - 4);
  // V2.2: another encoder's bytes.
  Spill(dir.path + "/o", Unhex("0000003b4c0416000901184f61be2809010009014015000000401a040a02120020001d6018ec32260000ff0d01401500"
                               "00803f1a040a021200200073bcb822"));
  RecordFileReader reader(dir.path + "/o", Container::kSnappyBlocks);
  std::string_view payload;
  CHECK(reader.Next(&payload) && payload.size() == 22);
  CHECK(reader.Next(&payload) && Hex(std::string(payload)) == kV12);
  CHECK(!reader.Next(&payload));
  // V2.4
  { RecordFileWriter(dir.path + "/e", Container::kSnappyBlocks).Finish(); }
  CHECK_EQ(Slurp(dir.path + "/e").size(), 0u);
  // V2.5
  {
    RecordFileWriter w(dir.path + "/b", Container::kSnappyBlocks);
    for (int i = 0; i < 600; ++i) w.Write(std::string(1000, static_cast<char>(i)));
    w.Finish();
  }
  const std::string blocks = Slurp(dir.path + "/b");
  std::vector<size_t> sizes;
  for (size_t p = 0; p < blocks.size();) {
    const size_t n = static_cast<unsigned char>(blocks[p + 1]) << 16 | static_cast<unsigned char>(blocks[p + 2]) << 8 |
                     static_cast<unsigned char>(blocks[p + 3]);
    sizes.push_back(SnappyUncompressedLength(std::string_view(blocks).substr(p + 4, n)));
    p += 4 + n;
  }
  CHECK(sizes == std::vector<size_t>({262140, 262128, 85332}));
}

TEST(V12_1_ValidSets) {
  const auto n = [](const std::string& base, std::vector<std::string> names) { return ValidShards(base, names).size(); };
  CHECK_EQ(n("a/b", {"a/b-00000-of-00001"}), 1u);
  CHECK_EQ(n("a/b", {"a/b-00001-of-00002", "a/b-00000-of-00002"}), 2u);
  CHECK_EQ(n("a", {"a-00000-of-00001", "a-00000-of-00001-tmp-1234"}), 1u);
  CHECK_EQ(n("a", {"a-00000-of-00001", "a-00000-of-00002-tmp-1234", "a-b-00000-of-00003"}), 1u);
  CHECK_THROWS(n("a", {"a-00000-of-00002"}), ErrorCode::kBadData);
  CHECK_THROWS(n("a", {"a-00000-of-00001", "a-00001-of-00001"}), ErrorCode::kBadData);
  CHECK_THROWS(n("a", {"a-00000-of-00001", "a-00000-of-00002", "a-00001-of-00002"}), ErrorCode::kBadData);
  CHECK_THROWS(n("a", {}), ErrorCode::kNoInput);
  CHECK_THROWS(n("a", {"b-00000-of-00001"}), ErrorCode::kNoInput);
}

TEST(V12_3_AutoShards) {
  CHECK_EQ(AutoShards(0), 1);
  CHECK_EQ(AutoShards(1999999), 1);
  CHECK_EQ(AutoShards(2000000), 2);
  CHECK_EQ(AutoShards(10000000), 4);
}

TEST(V12_5_MultiWithOtherTables) {
  Folder dir;
  const std::string base = dir.path + "/new/deep/MonolithMultiHashTable_0";
  MultiTable a({Table("slot2", {{2, Kind::kSgd}}), Table("slot0", {{1, Kind::kSgd}}), Table("slot1", {{2, Kind::kSgd}})});
  for (int64_t k = 0; k < 2; ++k) Put(a.table(0), k, {float(k + 1)});
  for (int64_t k = 2; k < 6; ++k) Put(a.table(1), k, {1, 2});
  for (int64_t k = 6; k < 11; ++k) Put(a.table(2), k, {float(k - 5), float(k - 5)});
  a.Save(base, 3);
  MultiTable b({Table("slot0", {{1, Kind::kSgd}}), Table("slot2", {{2, Kind::kSgd}}), Table("slot3", {{3, Kind::kSgd}})});
  Put(b.table(0), 77, {1});  // restore replaces
  Put(b.table(2), 77, {1, 1, 1});
  b.Restore(base);
  CHECK(Get(b.table(0), 0) == std::vector<float>({1}));
  CHECK(Get(b.table(0), 1) == std::vector<float>({2}));
  CHECK_EQ(b.table(0).size(), 2u);
  for (int64_t k = 6; k < 11; ++k) CHECK(Get(b.table(1), k) == std::vector<float>(2, float(k - 5)));
  CHECK_EQ(b.table(2).size(), 0u);
  // V2.3: metadata of a set with one shard
  MultiTable c({Table("slot0", {{1, Kind::kSgd}}), Table("slot1", {{1, Kind::kSgd}})});
  Put(c.table(0), 1, {2});
  Put(c.table(0), -1, {1});
  c.Save(dir.path + "/c", 1);
  CHECK_EQ(Hex(Slurp(dir.path + "/c.meta-00000-of-00001")),
           "090000000000000037f971390a05736c6f743010021da41f23090000000000000037f971390a05736c6f74311000881c11e8");
}

TEST(V12_6_SingleTable) {
  Folder dir;
  const std::string base = dir.path + "/t";
  EmbeddingTable t(Table("t", {{1, Kind::kSgd}}));
  Put(t, -1, {1});
  Put(t, 1, {2});
  SaveTable(t, base, 2);
  Put(t, 5, {3});
  RestoreTable(&t, base);
  CHECK_EQ(t.size(), 2u);
  CHECK(Get(t, -1) == std::vector<float>({1}) && Get(t, 1) == std::vector<float>({2}));
  CHECK_THROWS(RestoreTable(&t, dir.path + "/none"), ErrorCode::kNoInput);
  SaveTable(t, base, 0);  // another number of shards takes the place of the older set
  CHECK(dir.Names() == std::vector<std::string>({"t-00000-of-00001", "t.manifest"}));
  RestoreTable(&t, base);
  CHECK_EQ(t.size(), 2u);
  CHECK_THROWS(SaveTable(t, "/proc/none/t", 1), ErrorCode::kCannotCreate);
}

TEST(V8_ExpireOnSave) {
  Folder dir;
  const std::string base = dir.path + "/t";
  TableConfig c = Table("t", {{1, Kind::kSgd}});
  const auto kept = [&](const TableConfig& config, std::vector<std::pair<int64_t, uint32_t>> rows) {
    EmbeddingTable t(config);
    for (auto [key, ts] : rows) Put(t, key, {1}, ts);
    SaveTable(t, base, 1);
    CHECK_EQ(t.size(), rows.size());  // memory is not changed
    EmbeddingTable back(config);
    RestoreTable(&back, base);
    std::string s;
    for (auto [key, ts] : rows) s += back.Contains(key) ? "1" : "0";
    return s;
  };
  c.default_expire_days = 1;
  constexpr uint32_t kNewest = 10000000;
  CHECK_EQ(kept(c, {{1, kNewest - 86401}, {2, kNewest - 86399}, {3, kNewest}, {4, kNewest - 86400}}), "0110");
  CHECK_EQ(kept(c, {{1, 0}, {2, 0}}), "11");
  CHECK_EQ(kept(c, {{1, 100}, {2, 100}}), "11");
  c.default_expire_days = 0;
  CHECK_EQ(kept(c, {{1, 0}, {2, 0}}), "00");
  c.default_expire_days = 3600;
  c.slot_expire_days = {{1, 0}, {2, 1}};
  CHECK_EQ(kept(c, {{int64_t{1} << 48, 100}, {int64_t{2} << 48, 100}}), "01");
  // Of several tables, the first config there is holds for all.
  TableConfig first = Table("a", {{1, Kind::kSgd}}), second = Table("b", {{1, Kind::kSgd}}), third = Table("c", {{1, Kind::kSgd}});
  second.default_expire_days = 0;
  third.default_expire_days = 5;
  MultiTable m({first, second, third});
  for (size_t i = 0; i < 3; ++i) Put(m.table(i), 1, {1}, 5);
  m.Save(dir.path + "/m", -1);
  m.Restore(dir.path + "/m");
  for (size_t i = 0; i < 3; ++i) CHECK_EQ(m.table(i).size(), 0u);
}

TEST(StateSurvivesExactly) {  // adam's powers among it, on another number of shards
  Folder dir;
  const TableConfig c = Table("t", {{3, Kind::kAdam}, {2, Kind::kFtrl}, {1, Kind::kAdagrad}, {2, Kind::kSgd}});
  MultiTable a({c}), b({c});
  std::mt19937_64 rng(1);
  std::vector<int64_t> keys(5000);
  for (auto& k : keys) k = static_cast<int64_t>(rng());
  std::vector<float> grads(keys.size() * 8);
  const float rates[] = {.1f, .2f, .3f, .4f};
  for (int step = 1; step < 4; ++step) {
    for (auto& g : grads) g = static_cast<float>(rng() % 100) / 50 - 1;
    a.table(0).Optimize(keys.data(), keys.size(), grads.data(), rates, static_cast<uint32_t>(step), step);
  }
  a.Save(dir.path + "/t", 5);
  b.Restore(dir.path + "/t");
  CHECK_EQ(b.table(0).size(), keys.size());
  CHECK_EQ(b.table(0).max_update_ts(), 3u);
  a.table(0).Optimize(keys.data(), keys.size(), grads.data(), rates, 9, 4);
  b.table(0).Optimize(keys.data(), keys.size(), grads.data(), rates, 9, 4);
  size_t wrong = 0;
  for (int64_t k : keys) {
    std::vector<float> x, y;
    uint32_t tx, ty;
    if (!a.table(0).GetRow(k, &x, &tx) || !b.table(0).GetRow(k, &y, &ty) || x != y || tx != ty) ++wrong;
  }
  CHECK_EQ(wrong, 0u);
}

TEST(AnyDamageIsReported) {
  Folder dir;
  const std::string base = dir.path + "/m";
  MultiTable m({Table("a", {{2, Kind::kAdagrad}}), Table("b", {{1, Kind::kSgd}})});
  for (int64_t k = 0; k < 12; ++k) {
    Put(m.table(0), k * 977, {float(k), 1});
    Put(m.table(1), k, {float(k)});
  }
  m.Save(base, 1);
  std::mt19937 rng(5);
  for (const std::string& name : {base + "-00000-of-00001", base + ".meta-00000-of-00001", base + ".manifest"}) {
    const std::string good = Slurp(name);
    const auto fails = [&](const std::string& bytes) {
      Spill(name, bytes);
      try {
        m.Restore(base);
      } catch (const Error& e) {
        const std::string what = e.what();
        if (e.code() != ErrorCode::kBadData || what.find(base) == std::string::npos) std::fprintf(stderr, "%s\n", e.what());
        return e.code() == ErrorCode::kBadData && what.find(base) != std::string::npos && m.table(0).size() == 0;
      }
      return false;
    };
    for (size_t i = 0; i < good.size(); ++i) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << rng() % 8));
      CHECK(fails(bad));
      CHECK(fails(good.substr(0, i)));
    }
    CHECK(fails(good + good));
    Spill(name, good);
  }
  m.Restore(base);
  CHECK_EQ(m.table(0).size(), 12u);
  unlink((base + ".meta-00000-of-00001").c_str());
  CHECK_THROWS(m.Restore(base), ErrorCode::kBadData);
  unlink((base + ".manifest").c_str());  // the original system writes none
  CHECK_THROWS(m.Restore(base), ErrorCode::kBadData);
}

TEST(InterruptedPublishIsFinished) {
  Folder dir;
  const std::string base = dir.path + "/m";
  MultiTable old({Table("a", {{1, Kind::kSgd}})}), fresh({Table("a", {{1, Kind::kSgd}})});
  for (int64_t k = 0; k < 50; ++k) {
    Put(old.table(0), k, {1});
    Put(fresh.table(0), k, {2});
  }
  old.Save(base, 2);
  fresh.Save(dir.path + "/f", 1);
  // As a crash right after the first rename leaves things.
  std::rename((dir.path + "/f-00000-of-00001").c_str(), (base + "-00000-of-00001").c_str());
  std::rename((dir.path + "/f.meta-00000-of-00001").c_str(), (base + ".meta-00000-of-00001-tmp-7").c_str());
  unlink((dir.path + "/f.manifest").c_str());
  {
    RecordFileWriter w(base + ".publish", Container::kPlain);
    w.Write("rm-00000-of-00001-tmp-7");
    w.Write("m-00000-of-00001");
    w.Write("rm.meta-00000-of-00001-tmp-7");
    w.Write("m.meta-00000-of-00001");
    for (const char* n : {"m-00000-of-00002", "m-00001-of-00002", "m.meta-00000-of-00002", "m.meta-00001-of-00002", "m.manifest"}) w.Write(std::string("d") + n);
    w.Finish();
  }
  old.Restore(base);
  CHECK(Get(old.table(0), 7) == std::vector<float>({2}));
  CHECK(dir.Names() == std::vector<std::string>({"m-00000-of-00001", "m.meta-00000-of-00001"}));
}
