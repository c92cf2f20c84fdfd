#include "core/base/hash.h"

#include "check.h"

using monolith::CityHash64;
using monolith::JavaHash;

namespace {
std::string LittleEndian(int64_t v) { return {reinterpret_cast<const char*>(&v), 8}; }
}  // namespace

TEST(city_hash_of_eight_bytes) {
  CHECK_EQ(CityHash64(LittleEndian(185)), 0xb52c190dfbf33520u);
  CHECK_EQ(CityHash64(LittleEndian(0)), 0x14397a23417af284u);
  CHECK_EQ(CityHash64(LittleEndian(-1)), 0x2fffe7a41fb59155u);
}

// Byte i is 7 i + 3; the values are those of the published CityHash 1.1 (package cityhash on PyPI).
TEST(city_hash_of_any_length) {
  static const struct {
    size_t n;
    uint64_t hash;
  } kKnown[] = {
    {0, 0x9ae16a3b2f90404f}, {1, 0xbec09cc447469d8b}, {2, 0x16f8263645a8ecf5}, {3, 0x40b4412e33eefd64},
    {4, 0xf3c7ee05197a7b92}, {5, 0x156112f7c93e5cb3}, {7, 0x4fef0b39c12aa9a4}, {8, 0x0c97ecbc1e9d2626},
    {9, 0xe51cf38098a5bfff}, {12, 0x07e11fa045e761bc}, {15, 0x2ca35f0a039b4f1b}, {16, 0x7eda0ed8c837a168},
    {17, 0xc9518fe63ebf6127}, {24, 0x310064a8de2c42d2}, {31, 0xbd5ca6ee28fc43cb}, {32, 0xa53f806f23a314e8},
    {33, 0x0d861240f8a6c64b}, {40, 0x9ff6339213d1f513}, {47, 0x1832884ae8b1da55}, {48, 0x62ca4578415adfd9},
    {63, 0x4195af3f87ce359c}, {64, 0x1ccefea99389ae75}, {65, 0xacf6a69f1f078342}, {96, 0xb010e25bcc115e99},
    {127, 0x851a2c52e0e0c4df}, {128, 0x899e1a09acbba491}, {129, 0x511fb0cf56a6e561}, {191, 0x26ec2669ed9c56cb},
    {192, 0x9f37358ec02edecd}, {200, 0x6099c264b552b496}, {256, 0xfcfdbb47ab698bfd}, {300, 0x04954d84a69f0ea2}};
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes.push_back(static_cast<char>(i * 7 + 3));
  for (const auto& known : kKnown) CHECK_EQ(CityHash64({bytes.data(), known.n}), known.hash);
}

TEST(java_hash) {
  CHECK_EQ(JavaHash(""), 0);
  CHECK_EQ(JavaHash("pc"), 3571);
  CHECK_EQ(JavaHash("mobile"), -1068855134);
  CHECK_EQ(JavaHash("datasource_inst"), -1487072768);
  CHECK_EQ(JavaHash("\xff"), -1);  // bytes are signed
  CHECK_EQ(monolith::DataSourceKey("pc"), 914176u);
  CHECK_EQ(monolith::DataSourceKey("mobile"), 1250992640u);
  CHECK_EQ(monolith::DataSourceKey("datasource_inst"), 1561460736u);
}
