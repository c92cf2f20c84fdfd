// float16 by the portable code and by the CPU; serving and HashNet tables with readers and writers at once.
#include <atomic>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>

#include "check.h"
#include "core/tables/compressors/half.h"
#include "core/tables/table.h"

using namespace monolith;

namespace {

#ifdef MONOLITH_TSAN
constexpr int kRounds = 60;
#else
constexpr int kRounds = 400;
#endif
constexpr size_t kBatch = 256;
constexpr int64_t kKeys = 5000;

float FromBits(uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
uint32_t ToBits(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof v);
  return bits;
}

SegmentConfig Segment(int dim, CompressorConfig::Kind kind) {
  SegmentConfig s;
  s.dim = dim;
  s.optimizer.kind = OptimizerConfig::Kind::kSgd;
  s.initializer.kind = InitializerConfig::Kind::kConstant;
  s.compressor.kind = kind;
  s.compressor.r = 4;
  return s;
}

using Kind = CompressorConfig::Kind;

}  // namespace

// Every sign, exponent and fraction that float16 keeps, NaNs included, with bits behind it on both sides of each tie.
TEST(HalvesAreTheSameByBothWays) {
  int wrong = 0;
  for (uint32_t kept = 0; kept < 1u << 19; ++kept) {
    float values[16];
    const uint32_t behind[] = {0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x800, 0x1800};
    for (int i = 0; i < 16; ++i) values[i] = FromBits(kept << 13 | behind[i % 8]);
    char halves[32];
    HalvesFromFloats(values, 16, halves);
    for (int i = 0; i < 16; ++i) {
      uint16_t half;
      std::memcpy(&half, halves + 2 * i, 2);
      wrong += half != HalfFromFloat(values[i]);
    }
  }
  CHECK_EQ(wrong, 0);
  std::vector<char> halves(2 * 65536 + 1);
  for (uint32_t h = 0; h < 65536; ++h) std::memcpy(&halves[2 * h + 1], &h, 2);
  std::vector<float> floats(65536);
  FloatsFromHalves(&halves[1], 65536, floats.data());
  for (uint32_t h = 0; h < 65536; ++h) {
    wrong += ToBits(floats[h]) != ToBits(FloatFromHalf(static_cast<uint16_t>(h)));
    const bool nan = (h & 0x7fff) > 0x7c00;
    wrong += !nan && HalfFromFloat(floats[h]) != h;
  }
  CHECK_EQ(wrong, 0);
}

// A write puts one value, exact in every compressor, into all weights of a row of 5 * 2 + 3 + 2 * 4 + 1 bytes.
TEST(ServingRowsAreWhole) {
  TableConfig c;
  c.name = "t";
  c.serving = true;
  c.segments = {Segment(5, Kind::kFp16), Segment(3, Kind::kFixedR8), Segment(2, Kind::kFp32), Segment(1, Kind::kFixedR8)};
  constexpr int kDim = 11;
  EmbeddingTable table(c);
  std::atomic<int> writing{2}, torn{0};
  std::vector<std::thread> threads;
  for (int w = 0; w < 2; ++w)
    threads.emplace_back([&, w] {
      std::mt19937 rng(static_cast<unsigned>(w));
      std::vector<int64_t> keys(kBatch);
      std::vector<float> values(kBatch * kDim), zeros(kBatch * kDim);
      for (int round = 0; round < kRounds; ++round) {
        for (size_t i = 0; i < kBatch; ++i) {
          keys[i] = static_cast<int64_t>(rng()) % (i % 4 ? kKeys : 8);
          std::fill_n(&values[i * kDim], kDim, static_cast<float>(static_cast<int>(rng() % 120) - 60) / 32);
        }
        if (round % 3) table.Assign(keys.data(), kBatch, values.data(), 1);
        else table.AssignAdd(keys.data(), kBatch, zeros.data(), 2);  // decoded and encoded again
      }
      --writing;
    });
  for (int r = 0; r < 2; ++r)
    threads.emplace_back([&, r] {
      std::mt19937 rng(static_cast<unsigned>(50 + r));
      std::vector<int64_t> keys(kBatch);
      std::vector<float> out(kBatch * kDim);
      const auto check = [&](const float* row) {
        for (int d = 1; d < kDim; ++d) torn += row[d] != row[0];
      };
      while (writing) {
        for (auto& key : keys) key = static_cast<int64_t>(rng()) % (rng() % 2 ? kKeys : 8);
        table.Lookup(keys.data(), kBatch, out.data());
        for (size_t i = 0; i < kBatch; ++i) check(&out[i * kDim]);
        table.VisitRows(keys.data(), kBatch, [&](size_t, const float* row) {
          if (row) check(row);
        });
        std::vector<float> row;
        uint32_t ts;
        if (table.GetRow(keys[0], &row, &ts)) check(row.data());
      }
    });
  for (auto& t : threads) t.join();
  CHECK_EQ(torn.load(), 0);
  CHECK(table.size() > 8);
}

// The scale moves while rows are read and stepped; stochastic rounding beside it.
TEST(HashNetAndRoundingWithReadersAndWriters) {
  TableConfig c;
  c.name = "t";
  c.segments = {Segment(8, Kind::kOneBit), Segment(3, Kind::kFixedR8), Segment(4, Kind::kFp16)};
  c.segments[0].compressor.step_size = 2;
  c.segments[2].optimizer.stochastic_rounding_float16 = true;
  constexpr int kDim = 15;
  EmbeddingTable table(c);
  std::atomic<int> writing{2}, wrong{0};
  std::vector<std::thread> threads;
  for (int w = 0; w < 2; ++w)
    threads.emplace_back([&, w] {
      std::mt19937 rng(static_cast<unsigned>(w));
      std::vector<int64_t> keys(kBatch);
      std::vector<float> grads(kBatch * kDim);
      const float rates[] = {0.1f, 0.1f, 0.1f};
      for (int round = 0; round < kRounds; ++round) {
        for (auto& key : keys) key = static_cast<int64_t>(rng()) % kKeys;
        for (auto& g : grads) g = static_cast<float>(static_cast<int>(rng() % 2000) - 1000) / 500;
        const std::vector<float> sent = grads;
        table.Optimize(keys.data(), kBatch, grads.data(), rates, 1, round);
        wrong += sent != grads;
      }
      --writing;
    });
  threads.emplace_back([&] {
    std::mt19937 rng(9);
    std::vector<int64_t> keys(kBatch);
    std::vector<float> out(kBatch * kDim);
    while (writing) {
      for (auto& key : keys) key = static_cast<int64_t>(rng()) % kKeys;
      table.Lookup(keys.data(), kBatch, out.data());
      for (size_t i = 0; i < kBatch; ++i) {
        const float* row = &out[i * kDim];
        for (int d = 0; d < 8; ++d) wrong += !(std::fabs(row[d]) <= 0.1f);
        for (int d = 8; d < 11; ++d) wrong += row[d] * 32 != std::trunc(row[d] * 32);
        for (int d = 11; d < 15; ++d) wrong += FloatFromHalf(HalfFromFloat(row[d])) != row[d];
      }
    }
  });
  for (auto& t : threads) t.join();
  CHECK_EQ(wrong.load(), 0);
}

TEST(StepsOfAServingTableAreRefused) {
  TableConfig c;
  c.name = "t";
  c.serving = true;
  c.segments = {Segment(2, Kind::kFp16)};
  EmbeddingTable table(c);
  const int64_t key = 1;
  const float grad[2] = {1, 2}, rate = 1;
  CHECK_THROWS(table.Optimize(&key, 1, grad, &rate, 1, 0), ErrorCode::kUsage);
  uint64_t position = 0;
  CHECK_THROWS(table.Walk(0, 1, &position, 10, [](const EmbeddingTable::Row&) {}), ErrorCode::kUsage);
}
