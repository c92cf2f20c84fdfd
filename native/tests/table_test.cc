#include "core/tables/table.h"

#include <algorithm>
#include <map>
#include <random>

#include "check.h"
#include "core/tables/optimizer.h"

using namespace monolith;

namespace {

SegmentConfig Segment(int dim, OptimizerConfig::Kind kind, float start) {
  SegmentConfig s;
  s.dim = dim;
  s.optimizer.kind = kind;
  s.initializer.kind = InitializerConfig::Kind::kConstant;
  s.initializer.constant = start;
  return s;
}

TableConfig SgdTable(int dim, float start = 0) {
  TableConfig c;
  c.name = "t";
  c.segments = {Segment(dim, OptimizerConfig::Kind::kSgd, start)};
  return c;
}

float One(const EmbeddingTable& t, int64_t key) {
  float v = -1;
  t.Lookup(&key, 1, &v);
  return v;
}

}  // namespace

TEST(LookupDoesNotInsert) {  // V7.1
  EmbeddingTable t(SgdTable(1));
  CHECK_EQ(One(t, 5), 0.f);
  CHECK_EQ(t.size(), 0u);
  CHECK(!t.Contains(5));
  int64_t k = -10;
  float v = 2.5f;
  t.AssignAdd(&k, 1, &v, 0);
  CHECK_EQ(One(t, -10), 2.5f);
  k = 13, v = 1;
  const float rate = .01f;
  t.Optimize(&k, 1, &v, &rate, 0, 0);
  CHECK_EQ(One(t, 13), -.01f);
  const int64_t keys[] = {-10, 13, 100};
  const float values[] = {1, 2, 3};
  t.Assign(keys, 3, values, 0);
  const int64_t asked[] = {5, -10, 13, 100};
  float out[4];
  CHECK_EQ(t.Lookup(asked, 4, out), 3u);
  CHECK_EQ(out[0], 0.f);
  CHECK_EQ(out[1], 1.f);
  CHECK_EQ(out[2], 2.f);
  CHECK_EQ(out[3], 3.f);
  CHECK_EQ(t.size(), 3u);
}

TEST(DuplicatesInOrder) {  // V7.3, and an absent key that comes twice in one batch
  EmbeddingTable t(SgdTable(1));
  const int64_t keys[] = {0, 0, 1};
  const float grads[] = {-1, -1, -1};
  const float rate = .1f;
  t.Optimize(keys, 3, grads, &rate, 0, 0);
  CHECK_EQ(t.size(), 2u);
  CHECK_EQ(One(t, 0), .2f);
  CHECK_EQ(One(t, 1), .1f);
}

TEST(AssignAddStartsFromInitialValue) {  // V7.9
  TableConfig c = SgdTable(1, .5f);
  c.segments[0].optimizer.kind = OptimizerConfig::Kind::kAdagrad;
  EmbeddingTable t(c);
  const int64_t key = 1;
  const float two = 2, rate = 1;
  t.AssignAdd(&key, 1, &two, 0);
  CHECK_EQ(One(t, 1), 2.5f);
  t.Optimize(&key, 1, &two, &rate, 0, 0);
  std::vector<float> row;
  uint32_t ts;
  CHECK(t.GetRow(1, &row, &ts));
  const float norm = row[1];
  CHECK(norm > 4);
  t.Assign(&key, 1, &two, 7);
  CHECK(t.GetRow(1, &row, &ts));
  CHECK_EQ(row[0], 2.f);
  CHECK_EQ(row[1], norm);
  CHECK_EQ(ts, 7u);
}

TEST(AgainstMap) {  // random operations through every size of the index up to splits
  EmbeddingTable t(SgdTable(3));
  std::map<int64_t, std::vector<float>> model;
  std::mt19937_64 rng(3);
  std::vector<int64_t> all;
  for (int round = 0; round < 400; ++round) {
    const size_t n = 1 + rng() % 4000;
    std::vector<int64_t> keys(n);
    std::vector<float> values(3 * n);
    for (auto& k : keys) {
      if (!all.empty() && rng() % 2) k = all[rng() % all.size()];
      else all.push_back(k = static_cast<int64_t>(rng() % 3 ? rng() : rng() % 1000));
    }
    for (auto& v : values) v = static_cast<float>(static_cast<int>(rng() % 64)) / 4;
    const int op = static_cast<int>(rng() % 3);
    const float rate = 1;
    if (op == 0) t.Assign(keys.data(), n, values.data(), 1);
    if (op == 1) t.AssignAdd(keys.data(), n, values.data(), 1);
    if (op == 2) t.Optimize(keys.data(), n, values.data(), &rate, 1, 0);
    for (size_t i = 0; i < n; ++i) {
      auto& row = model.try_emplace(keys[i], 3, 0.f).first->second;
      for (int d = 0; d < 3; ++d)
        row[d] = op == 0 ? values[3 * i + d] : op == 1 ? row[d] + values[3 * i + d] : row[d] - values[3 * i + d];
    }
    if (round % 20 != 19) continue;
    CHECK_EQ(t.size(), model.size());
    std::vector<int64_t> asked;
    for (int i = 0; i < 3000; ++i) asked.push_back(rng() % 4 ? all[rng() % all.size()] : static_cast<int64_t>(rng()));
    size_t wrong = 0;
    t.VisitRows(asked.data(), asked.size(), [&](size_t i, const float* w) {
      const auto it = model.find(asked[i]);
      if ((it == model.end()) != (w == nullptr)) ++wrong;
      else if (w && !std::equal(w, w + 3, it->second.begin())) ++wrong;
    });
    CHECK_EQ(wrong, 0u);
  }
  size_t visited = 0, wrong = 0;
  for (size_t shard = 0; shard < 7; ++shard) {
    uint64_t position = 0;
    t.Walk(shard, 7, &position, SIZE_MAX, [&](const EmbeddingTable::Row& row) {
      const auto it = model.find(row.key);
      if (it == model.end() || !std::equal(row.floats, row.floats + 3, it->second.begin())) ++wrong;
      else model.erase(it);
      ++visited;
    });
  }
  CHECK_EQ(visited, t.size());
  CHECK_EQ(wrong, 0u);
  CHECK(model.empty());
  t.Clear();
  CHECK_EQ(t.size(), 0u);
  CHECK(!t.Contains(all[0]));
}

TEST(SplitSegments) {  // large enough for segments to be split, twice by size and once more unevenly
  EmbeddingTable t(SgdTable(1));
  constexpr int64_t kKeys = 3000000;
  std::vector<int64_t> keys(kKeys);
  std::vector<float> values(kKeys);
  for (int64_t i = 0; i < kKeys; ++i) keys[i] = i << 20 ^ i, values[i] = static_cast<float>(i);
  t.Assign(keys.data(), kKeys, values.data(), 1);
  CHECK_EQ(t.size(), size_t(kKeys));
  std::vector<float> out(kKeys);
  CHECK_EQ(t.Lookup(keys.data(), kKeys, out.data()), size_t(kKeys));
  CHECK(out == values);
  // Key, weight and timestamp are 16 bytes; the index may cost 6 to 14 more between two steps of growth.
  CHECK(t.memory_bytes() < size_t(kKeys) * 30);
}

TEST(MemoryBetweenGrowthSteps) {  // at every size from 100,000 rows on, through splits and all sizes of the index
  TableConfig c = SgdTable(16);
  c.segments[0].optimizer.kind = OptimizerConfig::Kind::kAdagrad;
  EmbeddingTable t(c);
  constexpr size_t kRow = 8 + 4 + 2 * 16 * sizeof(float), kBatch = 4096;
  const std::vector<float> values(kBatch * 16, 1.f);
  std::vector<int64_t> keys(kBatch);
  double worst = 0;
  for (int64_t next = 1; t.size() < 1'300'000;) {
    for (auto& k : keys) k = next++ << 20;
    t.AssignAdd(keys.data(), kBatch, values.data(), 1);
    if (t.size() > 100'000) worst = std::max(worst, double(t.memory_bytes()) / double(t.size() * kRow));
  }
  CHECK(worst < 1.12);
  CHECK(double(t.memory_bytes()) < 1.06 * double(t.size() * kRow));
}

TEST(Ranges) {  // V12.2
  CHECK(ShardRange(8, 0, 3) == std::make_pair(size_t{0}, size_t{3}));
  CHECK(ShardRange(8, 1, 3) == std::make_pair(size_t{3}, size_t{6}));
  CHECK(ShardRange(8, 2, 3) == std::make_pair(size_t{6}, size_t{8}));
  CHECK(ShardRange(1, 0, 4) == std::make_pair(size_t{0}, size_t{1}));
  for (size_t k = 1; k < 4; ++k) CHECK_EQ(ShardRange(1, k, 4).second - ShardRange(1, k, 4).first, 0u);
}

TEST(InitialCapacityAndBigRows) {
  TableConfig c = SgdTable(5000, 1.5f);
  c.initial_capacity = 1000000;
  EmbeddingTable t(c);
  const int64_t key = -1;
  const std::vector<float> grad(5000, .5f);
  const float rate = 1;
  t.Optimize(&key, 1, grad.data(), &rate, 0, 0);
  t.VisitRows(&key, 1, [&](size_t, const float* w) {
    CHECK(w && w[0] == 1.f && w[4999] == 1.f);
  });
}

TEST(SharedNames) {
  auto a = OpenTables("x", {SgdTable(1)});
  CHECK(OpenTables("x", {SgdTable(1)}) == a);
  CHECK_THROWS(OpenTables("x", {SgdTable(2)}), ErrorCode::kConfig);
  CHECK(FindTables("x") == a);
  CloseTables("x");
  CHECK(!FindTables("x"));
  CHECK_THROWS(OpenTables("y", {SgdTable(0)}), ErrorCode::kConfig);
  CHECK(!FindTables("y"));
  TableConfig b = SgdTable(1);
  b.name = "a";
  auto two = OpenTables("z", {SgdTable(1), b});
  CHECK_EQ(two->IndexOf("a"), 0);
  CHECK_EQ(two->IndexOf("t"), 1);
  CHECK_EQ(two->IndexOf("b"), -1);
  CloseTables("z");
}
