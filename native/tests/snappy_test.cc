#include "core/base/snappy.h"

#include "check.h"
#include "core/base/random.h"

using namespace monolith;

static std::string Hex(const char* hex) {
  std::string out;
  for (; hex[0] && hex[1]; hex += 2) out.push_back(static_cast<char>(std::stoi(std::string(hex, 2), nullptr, 16)));
  return out;
}
static std::string Decompress(const std::string& in, size_t max = 1 << 20) {
  std::string out;
  SnappyDecompress(in, &out, max);
  return out;
}
static void RoundTrip(const std::string& s) {
  std::string packed;
  SnappyCompress(s, &packed);
  CHECK_EQ(SnappyUncompressedLength(packed), s.size());
  CHECK(Decompress(packed, s.size()) == s);
}

TEST(ElementsOfTheFormat) {
  CHECK_EQ(Decompress(Hex("00")), "");
  CHECK_EQ(Decompress(Hex("0308616263")), "abc");
  CHECK_EQ(Decompress(Hex("07086162630103")), "abcabca");          // two-byte copy of 4
  CHECK_EQ(Decompress(Hex("07086162630e0300")), "abcabca");        // three-byte copy of 4
  CHECK_EQ(Decompress(Hex("07086162630f03000000")), "abcabca");    // five-byte copy of 4
  CHECK_EQ(Decompress(Hex("03f002616263")), "abc");                // length of a literal in one more byte
  CHECK_EQ(Decompress(Hex("03f40200616263")), "abc");
  CHECK_EQ(Decompress(Hex("03f8020000616263")), "abc");
  CHECK_EQ(Decompress(Hex("03fc02000000616263")), "abc");
}

TEST(Garbage) {
  for (const char* bad : {"", "80", "ffffffffff01", "8080808010", "03", "030861", "0408616263", "02086162630103",
                          "07086162630100", "07086162630104", "0708616263010b", "03f0", "03fcffffffff616263", "0708616263" "0f03"})
    CHECK_THROWS(Decompress(Hex(bad)), ErrorCode::kBadData);
  CHECK_THROWS(Decompress(Hex("0308616263"), 2), ErrorCode::kBadData);
}

TEST(StatedLengthIsBoundedByTheBlock) { CHECK_THROWS(SnappyUncompressedLength(Hex("ffffffff0f0000")), ErrorCode::kBadData); }

TEST(RoundTrips) {
  Random random(7);
  for (size_t n : {0, 1, 2, 3, 4, 7, 15, 16, 59, 60, 61, 62, 255, 256, 257, 65535, 65536, 65537, 200000}) {
    RoundTrip(std::string(n, 'a'));
    std::string noise(n, '\0'), words;
    for (char& c : noise) c = static_cast<char>(random.Next());
    while (words.size() < n) words += "slot_" + std::to_string(random.Below(50)) + ",";
    RoundTrip(noise);
    RoundTrip(words);
    for (int period : {1, 2, 3, 5, 11, 12, 63, 64, 65, 67, 68, 2047, 2048}) {
      std::string s(n, '\0');
      for (size_t i = 0; i < n; ++i) s[i] = noise.empty() ? 0 : noise[i % period % n];
      RoundTrip(s);
    }
  }
}

TEST(RepetitionShrinks) {
  std::string packed;
  SnappyCompress(std::string(1 << 20, 'x'), &packed);
  CHECK(packed.size() < (1 << 20) / 15);
}
