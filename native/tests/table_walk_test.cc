// Walks over a table in pieces, while it grows and loses rows between them.
#include <map>
#include <random>
#include <vector>

#include "check.h"
#include "core/tables/key_hash.h"
#include "core/tables/table.h"

using namespace monolith;

namespace {

TableConfig Config() {
  TableConfig c;
  c.name = "t";
  SegmentConfig s;
  s.dim = 1;
  s.optimizer.kind = OptimizerConfig::Kind::kSgd;
  c.segments = {s};
  return c;
}

void Put(EmbeddingTable* t, const std::vector<int64_t>& keys, uint32_t now = 1000000000) {
  std::vector<float> values(keys.begin(), keys.end());
  t->Assign(keys.data(), keys.size(), values.data(), now);
}

// How often a walk of all shards gives each key; between(i) comes after the i-th call.
template <class Between>
std::map<int64_t, int> WalkAll(const EmbeddingTable& t, size_t shards, size_t limit, Between between) {
  std::map<int64_t, int> seen;
  int calls = 0;
  for (size_t shard = 0; shard < shards; ++shard) {
    uint64_t position = 0;
    for (bool done = false; !done; between(calls++)) {
      size_t given = 0;
      done = t.Walk(shard, shards, &position, limit, [&](const EmbeddingTable::Row& row) {
        CHECK_EQ(row.floats[0], static_cast<float>(row.key));
        ++seen[row.key];
        ++given;
      });
      CHECK(done || given >= limit);
      CHECK_EQ(done, position == EmbeddingTable::kWalkDone);
    }
  }
  return seen;
}

std::map<int64_t, int> OnceEach(const std::vector<int64_t>& keys) {
  std::map<int64_t, int> once;
  for (int64_t k : keys) once[k] = 1;
  return once;
}

const auto kNothing = [](int) {};

}  // namespace

TEST(PiecesOfTwoOfTenShards) {  // V12.4
  EmbeddingTable t(Config());
  std::vector<int64_t> keys;
  for (int64_t k = 0; k < 100; ++k) keys.push_back(k);
  Put(&t, keys);
  CHECK(WalkAll(t, 10, 2, kNothing) == OnceEach(keys));
}

TEST(AnyLimitAnyShards) {
  std::mt19937_64 rng(1);
  for (size_t n : {0, 1, 2, 700, 5800, 65000}) {
    TableConfig c = Config();
    c.initial_capacity = n;  // an index as full as can be: many keys stand far from their groups
    EmbeddingTable t(c);
    std::vector<int64_t> keys;
    for (size_t i = 0; i < n; ++i) keys.push_back(static_cast<int64_t>(rng()));
    Put(&t, keys);
    for (size_t shards : {1, 2, 3, 7, 1000})
      for (size_t limit : {97, 1000, 1 << 30}) CHECK(WalkAll(t, shards, limit, kNothing) == OnceEach(keys));
  }
}

// Both ends of the range of hashes, one row at a time.
TEST(FirstAndLastHashes) {
  std::vector<int64_t> keys;
  for (uint64_t h = 0; h < 3; ++h) keys.push_back(KeyOfHash(h)), keys.push_back(KeyOfHash(~h));
  for (unsigned left_out = 0; left_out < 64; ++left_out) {
    EmbeddingTable t(Config());
    std::vector<int64_t> some;
    for (size_t i = 0; i < keys.size(); ++i)
      if (!(left_out >> i & 1)) some.push_back(keys[i]);
    Put(&t, some);
    for (size_t shards : {1, 2, 3})
      for (size_t limit : {1, 2, 3}) CHECK(WalkAll(t, shards, limit, kNothing) == OnceEach(some));
  }
}

// Keys that crowd in one place: segments of few hashes beside those of many.
TEST(CrowdedHashes) {
  EmbeddingTable t(Config());
  std::vector<int64_t> keys;
  for (uint64_t i = 0; i < 50000; ++i) keys.push_back(KeyOfHash(uint64_t{0xabc} << 52 | i << 36));
  Put(&t, keys);
  CHECK_EQ(t.size(), keys.size());
  CHECK(WalkAll(t, 1, 999, kNothing) == OnceEach(keys));
}

// Rows that are there throughout come once, though segments are split, indexes rebuilt and others come and go between the calls.
TEST(GrowthAndEvictionBetweenCalls) {
  constexpr uint32_t kDay = 86400, kNow = 1000 * kDay;
  std::mt19937_64 rng(2);
  for (size_t shards : {1, 4}) {
    TableConfig c = Config();
    c.default_expire_days = 10;
    EmbeddingTable t(c);
    std::vector<int64_t> stay;
    for (int i = 0; i < 20000; ++i) stay.push_back(static_cast<int64_t>(rng()));
    Put(&t, stay, kNow);
    size_t largest = 0, evicted = 0;
    const auto seen = WalkAll(t, shards, 700, [&](int call) {
      std::vector<int64_t> others;
      if (call % 10 == 9) evicted += t.Evict(kNow);
      if (call >= 40) return;
      for (int i = 0; i < 40000; ++i) others.push_back(static_cast<int64_t>(rng()));
      Put(&t, others, kNow - 20 * kDay);
      largest = std::max(largest, t.size());
    });
    size_t missed = 0, twice = 0;
    for (int64_t k : stay) missed += !seen.count(k);
    for (const auto& [k, times] : seen) twice += times > 1;
    CHECK_EQ(missed, 0u);
    CHECK_EQ(twice, 0u);
    CHECK(largest > 300000 && evicted > 300000);
  }
}

TEST(PositionsOfOtherShards) {
  EmbeddingTable t(Config());
  const auto walk = [&](size_t shards, uint64_t position) { t.Walk(0, shards, &position, 1, [](const EmbeddingTable::Row&) {}); };
  CHECK_THROWS(walk(2, uint64_t{1} << 63), ErrorCode::kUsage);
  CHECK_THROWS(walk(3, static_cast<uint64_t>(-2)), ErrorCode::kUsage);
  walk(1, static_cast<uint64_t>(-2));
  walk(2, (uint64_t{1} << 63) - 1);
  walk(3, EmbeddingTable::kWalkDone);
}
