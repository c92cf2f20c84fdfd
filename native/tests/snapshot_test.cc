// Snapshots are of one instant, whatever writers do meanwhile; keys that leave make room. Meant to run under the thread sanitizer too.
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "check.h"
#include "core/tables/key_group.h"
#include "core/tables/key_hash.h"
#include "core/tables/snapshot.h"
#include "core/tables/table.h"

using namespace monolith;

namespace {

#ifdef MONOLITH_TSAN
constexpr int64_t kKeys = 8000;
constexpr int kSnapshots = 6;
#else
constexpr int64_t kKeys = 100000;
constexpr int kSnapshots = 10;
#endif
constexpr int kDim = 4;
constexpr size_t kBatch = 512;

TableConfig Table(uint32_t expire_days = 36500) {
  TableConfig c;
  c.name = "t";
  SegmentConfig s;
  s.dim = kDim;
  s.optimizer.kind = OptimizerConfig::Kind::kAdagrad;
  s.initializer.kind = InitializerConfig::Kind::kConstant;
  c.segments = {s};
  c.default_expire_days = expire_days;
  return c;
}

void Put(EmbeddingTable* table, int64_t first, int64_t n, float value, uint32_t now = 1) {
  std::vector<int64_t> keys;
  for (int64_t k = first; k < first + n; ++k) keys.push_back(k);
  table->Assign(keys.data(), keys.size(), std::vector<float>(keys.size() * kDim, value).data(), now);
}

std::map<int64_t, float> Read(TableSnapshot* snapshot, size_t shards, int* torn) {
  std::mutex mutex;
  std::map<int64_t, float> rows;
  std::vector<std::thread> threads;
  for (size_t k = 0; k < shards; ++k)
    threads.emplace_back([&, k] {
      snapshot->Walk(k, shards, [&](const EmbeddingTable::Row& row) {
        std::lock_guard<std::mutex> lock(mutex);
        for (int d = 1; d < kDim; ++d) *torn += row.floats[d] != row.floats[0];
        *torn += !rows.emplace(row.key, row.floats[0]).second;
      });
    });
  for (auto& t : threads) t.join();
  return rows;
}

}  // namespace

// The writer goes through all keys in order, generation by generation, in one table and then in another: at any instant a
// generation ends at one key, and the second table is not ahead of the first.
TEST(OneInstantOfTwoTables) {
  EmbeddingTable a(Table()), b(Table());
  Put(&a, 0, kKeys, 0);
  Put(&b, 0, kKeys, 0);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (float g = 1; !stop; ++g)
      for (int64_t k = 0; k < kKeys && !stop; k += kBatch) {
        Put(&a, k, std::min<int64_t>(kBatch, kKeys - k), g);
        Put(&b, k, std::min<int64_t>(kBatch, kKeys - k), g);
        // New keys make the segments grow and split meanwhile; they belong to no snapshot that was taken before them.
        Put(&a, kKeys + static_cast<int64_t>(g) % 4 * kKeys / 8 + k / 8, kBatch / 8, g);
      }
  });
  int wrong = 0, torn = 0;
  for (int s = 0; s < kSnapshots; ++s) {
    auto both = TableSnapshot::Take({&a, &b}, false);
    const auto in_a = Read(both[0].get(), 3, &torn), in_b = Read(both[1].get(), 2, &torn);
    float last_a = in_a.at(0);
    for (int64_t k = 0; k < kKeys; ++k) {
      const float va = in_a.at(k), vb = in_b.at(k);
      if (va > last_a || last_a - va > 1 || vb > va || va - vb > 1) ++wrong;
      if (va < in_a.at(kKeys - 1)) ++wrong;
      last_a = va;
    }
    for (auto it = in_a.lower_bound(kKeys); it != in_a.end(); ++it) wrong += it->second > in_a.at(0);
    CHECK_EQ(in_b.size(), size_t(kKeys));
  }
  stop = true;
  writer.join();
  CHECK_EQ(wrong, 0);
  CHECK_EQ(torn, 0);
}

TEST(KeysThatLeaveAreInTheSnapshotAndNotInTheTable) {
  EmbeddingTable t(Table());
  Put(&t, 0, kKeys, 1);
  auto snapshot = std::move(TableSnapshot::Take({&t}, false)[0]);
  std::vector<int64_t> odd;
  for (int64_t k = 1; k < kKeys; k += 2) odd.push_back(k);
  CHECK_EQ(t.Erase(odd.data(), odd.size()), odd.size());
  CHECK_EQ(t.Erase(odd.data(), odd.size()), size_t{0});
  Put(&t, kKeys, kKeys, 2);  // in what the others left behind
  t.Clear();
  int torn = 0;
  const auto rows = Read(snapshot.get(), 2, &torn);
  CHECK_EQ(rows.size(), size_t(kKeys));
  CHECK_EQ(torn, 0);
  for (const auto& [key, value] : rows) torn += value != 1 || key >= kKeys;
  CHECK_EQ(torn, 0);
  CHECK_EQ(t.size(), size_t{0});
}

TEST(ErasedRowsAreUsedAgain) {
  EmbeddingTable t(Table());
  Put(&t, 0, kKeys, 1);
  const size_t memory = t.memory_bytes();
  for (int round = 0; round < 6; ++round) {
    std::vector<int64_t> keys;
    for (int64_t k = 0; k < kKeys; ++k) keys.push_back(k + round * kKeys);
    CHECK_EQ(t.Erase(keys.data(), keys.size()), size_t(kKeys));
    CHECK_EQ(t.size(), size_t{0});
    Put(&t, (round + 1) * kKeys, kKeys, 1);
    CHECK_EQ(t.size(), size_t(kKeys));
    CHECK(!t.Contains(round * kKeys));
  }
  CHECK(t.memory_bytes() < memory * 3 / 2);
}

TEST(EvictionTakesWhatHasExpiredAndGivesMemoryBack) {
  EmbeddingTable t(Table(5));
  const uint32_t day = 86400;
  Put(&t, 0, kKeys, 1, 1234);
  Put(&t, kKeys, kKeys / 10, 2, 1235);
  const size_t memory = t.memory_bytes();
  CHECK_EQ(t.Evict(1234 + 5 * day - 1), size_t{0});
  CHECK_EQ(t.Evict(1234 + 5 * day), size_t(kKeys));
  CHECK_EQ(t.size(), size_t(kKeys / 10));
  CHECK(t.Contains(kKeys) && !t.Contains(0));
  if (kKeys > 50000) CHECK(t.memory_bytes() < memory / 2);
  std::vector<float> row;
  uint32_t ts;
  CHECK(t.GetRow(kKeys + kKeys / 10 - 1, &row, &ts));
  CHECK_EQ(row[0], 2.f);
}

TEST(ChangesAloneSinceTheLastThatWasCommitted) {
  EmbeddingTable t(Table());
  Put(&t, 0, kKeys, 1);
  t.TrackChanges(true);
  int torn = 0;
  auto take = [&](bool changed_only, bool commit, std::set<int64_t>* erased) {
    auto s = std::move(TableSnapshot::Take({&t}, changed_only)[0]);
    auto rows = Read(s.get(), 2, &torn);
    if (erased) *erased = {s->erased().begin(), s->erased().end()};
    if (commit) s->Commit();
    return rows;
  };
  CHECK_EQ(take(true, false, nullptr).size(), size_t(kKeys));  // nothing was ever saved
  CHECK_EQ(take(false, true, nullptr).size(), size_t(kKeys));
  CHECK_EQ(take(true, true, nullptr).size(), size_t{0});
  Put(&t, 10, 5, 2);
  Put(&t, kKeys, kKeys, 3);  // segments split: what changed goes with the rows
  const int64_t gone[] = {10, 500};
  t.Erase(gone, 2);
  std::set<int64_t> erased;
  auto changed = take(true, false, &erased);
  CHECK_EQ(changed.size(), size_t(kKeys + 4));
  CHECK_EQ(changed.at(14), 2.f);
  CHECK((erased == std::set<int64_t>{10, 500}));
  // That one was not committed: nothing of it may be missing in the next.
  changed = take(true, true, &erased);
  CHECK(changed.size() >= size_t(kKeys + 4));
  CHECK((erased == std::set<int64_t>{10, 500}));
  CHECK_EQ(take(true, true, &erased).size(), size_t{0});
  CHECK(erased.empty());
  CHECK_EQ(torn, 0);
}

TEST(WhatAClearTakesAwayIsInTheNextChanges) {
  EmbeddingTable t(Table());
  Put(&t, 0, 1000, 1);
  t.TrackChanges(true);
  std::move(TableSnapshot::Take({&t}, false)[0])->Commit();
  t.Clear();
  Put(&t, 5, 1, 2);
  auto s = std::move(TableSnapshot::Take({&t}, true)[0]);
  int torn = 0;
  CHECK_EQ(Read(s.get(), 1, &torn).size(), size_t{1});
  CHECK_EQ(s->erased().size(), size_t{1000});
}

// Keys in the order of their hashes crowd at one end of a segment: it is split as often as it takes.
TEST(KeysInTheOrderOfTheirHashes) {
  for (const int shift : {44, 30}) {
    EmbeddingTable t(Table());
    const int64_t n = kKeys;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t key = KeyOfHash(static_cast<uint64_t>(i) << shift);
      t.Assign(&key, 1, std::vector<float>(kDim, static_cast<float>(i)).data(), 1);
    }
    CHECK_EQ(t.size(), size_t(n));
    int wrong = 0;
    std::vector<float> row;
    uint32_t ts;
    for (int64_t i = 0; i < n; i += 7) wrong += !t.GetRow(KeyOfHash(static_cast<uint64_t>(i) << shift), &row, &ts) || row[0] != static_cast<float>(i);
    CHECK_EQ(wrong, 0);
  }
}

// Everything at once; the sums at the end tell whether an update was lost.
TEST(EraseEvictAndSnapshotWhileOthersWrite) {
  EmbeddingTable t(Table(1));
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0};
  std::vector<std::thread> threads;
  for (int w = 0; w < 2; ++w)
    threads.emplace_back([&, w] {
      std::mt19937_64 rng(static_cast<uint64_t>(w));
      std::vector<int64_t> keys(kBatch);
      std::vector<float> values(kBatch * kDim), out(kBatch * kDim);
      while (!stop) {
        for (size_t i = 0; i < kBatch; ++i) {
          keys[i] = static_cast<int64_t>(rng() % (2 * kKeys));
          const float v = static_cast<float>(keys[i] % 1000);
          for (int d = 0; d < kDim; ++d) values[i * kDim + d] = v;
        }
        if (rng() % 4) t.Assign(keys.data(), kBatch, values.data(), static_cast<uint32_t>(rng() % 2 ? 1 : 200000));
        else t.Erase(keys.data(), kBatch / 2);
        t.Lookup(keys.data(), kBatch, out.data());
        for (size_t i = 0; i < kBatch; ++i)
          for (int d = 0; d < kDim; ++d) {
            const float v = out[i * kDim + d];
            if (v != out[i * kDim] || (v != 0 && v != static_cast<float>(keys[i] % 1000))) ++torn;
          }
      }
    });
  int wrong = 0, twice = 0;
  for (int s = 0; s < kSnapshots; ++s) {
    auto snapshot = std::move(TableSnapshot::Take({&t}, false)[0]);
    if (s % 2) t.Evict(100000);
    for (const auto& [key, value] : Read(snapshot.get(), 2, &twice)) wrong += value != static_cast<float>(key % 1000);
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  CHECK_EQ(torn.load(), 0);
  CHECK_EQ(wrong, 0);
  CHECK_EQ(twice, 0);
  // What is counted is what is there.
  int none = 0;
  auto snapshot = std::move(TableSnapshot::Take({&t}, false)[0]);
  CHECK_EQ(Read(snapshot.get(), 1, &none).size(), t.size());
}
