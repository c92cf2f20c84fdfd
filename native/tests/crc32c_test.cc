#include "core/base/crc32c.h"

#include "check.h"
#include "core/base/random.h"

using namespace monolith;

TEST(KnownValues) {  // RFC 3720, B.4
  CHECK_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  CHECK_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string up;
  for (int i = 0; i < 32; ++i) up.push_back(static_cast<char>(i));
  CHECK_EQ(Crc32c(up), 0x46dd794eu);
  CHECK_EQ(Crc32c("123456789"), 0xe3069283u);
  CHECK_EQ(Crc32c(""), 0u);
}

TEST(InstructionAndTableAgreeAtEveryLengthAndOffset) {
  Random random(1);
  std::string s(300, '\0');
  for (char& c : s) c = static_cast<char>(random.Next());
  for (size_t from = 0; from < 9; ++from)
    for (size_t n = 0; n + from <= s.size(); ++n)
      if (Crc32c(s.data() + from, n) != Crc32cPortable(s.data() + from, n)) CHECK_EQ(n, size_t{0});
}

TEST(PieceByPiece) {
  const std::string s = "piece by piece, the checksum is that of the whole";
  for (size_t cut = 0; cut <= s.size(); ++cut)
    CHECK_EQ(Crc32c(s.data() + cut, s.size() - cut, Crc32c(s.data(), cut)), Crc32c(s));
}

TEST(MaskIsUndone) {
  for (uint32_t crc : {0u, 1u, 0xffffffffu, 0xe3069283u}) {
    CHECK_EQ(UnmaskCrc32c(MaskCrc32c(crc)), crc);
    CHECK(MaskCrc32c(crc) != crc);
  }
}
