// Readers, writers and growth at once. Meant to run under the thread sanitizer too, so sizes are small there.
#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "check.h"
#include "core/tables/key_group.h"
#include "core/tables/table.h"

using namespace monolith;

namespace {

#ifdef MONOLITH_TSAN
constexpr int64_t kKeys = 20000;
constexpr int kRounds = 15;
#else
constexpr int64_t kKeys = 400000;
constexpr int kRounds = 40;
#endif
constexpr int kDim = 24;
constexpr size_t kBatch = 512;

TableConfig Table() {
  TableConfig c;
  c.name = "t";
  SegmentConfig s;
  s.dim = kDim;
  s.optimizer.kind = OptimizerConfig::Kind::kSgd;
  s.initializer.kind = InitializerConfig::Kind::kConstant;
  c.segments = {s};
  return c;
}

void Join(std::vector<std::thread>* threads) {
  for (auto& t : *threads) t.join();
}

}  // namespace

// Every write puts one value into all weights of a row: a row with two values was not read whole.
TEST(RowsAreWholeWhileTheTableGrows) {
  EmbeddingTable table(Table());
  std::atomic<int> writing{3};
  std::atomic<int> torn{0}, reads{0};
  std::vector<std::thread> threads;
  for (int w = 0; w < 3; ++w)
    threads.emplace_back([&, w] {
      std::mt19937_64 rng(static_cast<uint64_t>(w));
      std::vector<int64_t> keys(kBatch);
      std::vector<float> values(kBatch * kDim);
      const float rate = 1;
      for (int round = 0; round < kRounds; ++round) {
        // The range widens, so that the index grows all the time; the first keys are written again and again.
        const int64_t range = 16 + kKeys * (round + 1) / kRounds;
        for (size_t i = 0; i < kBatch; ++i) {
          keys[i] = static_cast<int64_t>(rng()) % (i % 4 ? range : 16);
          const float v = static_cast<float>(rng() % 1000);
          for (int d = 0; d < kDim; ++d) values[i * kDim + d] = v;
        }
        const int repeats = static_cast<int>(kKeys / kRounds / kBatch) + 1;
        for (int k = 0; k < repeats; ++k) {
          for (auto& key : keys) key = key < 16 && key > -16 ? key : key + k * 7919;
          if (k % 3 == 0) table.Assign(keys.data(), kBatch, values.data(), 1);
          if (k % 3 == 1) table.AssignAdd(keys.data(), kBatch, values.data(), 2);
          if (k % 3 == 2) table.Optimize(keys.data(), kBatch, values.data(), &rate, 3, 0);
        }
      }
      --writing;
    });
  for (int r = 0; r < 3; ++r)
    threads.emplace_back([&, r] {
      std::mt19937_64 rng(static_cast<uint64_t>(100 + r));
      std::vector<int64_t> keys(kBatch);
      std::vector<float> out(kBatch * kDim);
      while (writing) {
        for (size_t i = 0; i < kBatch; ++i) keys[i] = static_cast<int64_t>(rng()) % (i % 4 ? kKeys : 16);
        const auto check = [&](const float* row) {
          for (int d = 1; d < kDim; ++d)
            if (row[d] != row[0]) return ++torn, void();
        };
        table.Lookup(keys.data(), kBatch, out.data());
        for (size_t i = 0; i < kBatch; ++i) check(&out[i * kDim]);
        table.VisitRows(keys.data(), kBatch, [&](size_t, const float* row) {
          if (row) check(row);
        });
        std::vector<float> row;
        uint32_t ts;
        if (table.GetRow(keys[0], &row, &ts)) check(row.data());
        table.size();
        table.memory_bytes();
        ++reads;
      }
    });
  Join(&threads);
  CHECK_EQ(torn.load(), 0);
  CHECK(reads > 0);
  CHECK(table.size() > 1000);
}

// Sums of all threads' additions are exact: no update is lost, no key is inserted twice, whatever moves meanwhile.
TEST(NoUpdateIsLost) {
  EmbeddingTable table(Table());
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      std::vector<int64_t> keys(kBatch);
      const std::vector<float> ones(kBatch * kDim, 1.f);
      // All threads insert the same keys, in another order each.
      for (int64_t begin = 0; begin < kKeys; begin += kBatch) {
        for (size_t i = 0; i < kBatch; ++i) {
          const int64_t k = (begin + static_cast<int64_t>(i)) % kKeys;
          keys[i] = t % 2 ? kKeys - 1 - k : k;
        }
        table.AssignAdd(keys.data(), std::min<size_t>(kBatch, static_cast<size_t>(kKeys - begin)), ones.data(), 1);
      }
    });
  Join(&threads);
  CHECK_EQ(table.size(), size_t(kKeys));
  int wrong = 0;
  std::vector<int64_t> keys(kKeys);
  for (int64_t k = 0; k < kKeys; ++k) keys[k] = k;
  table.VisitRows(keys.data(), keys.size(), [&](size_t, const float* row) {
    if (!row || row[0] != kThreads || row[kDim - 1] != kThreads) ++wrong;
  });
  CHECK_EQ(wrong, 0);
}

// Clear and walks between updates: rows of a cleared table never come back, a walk sees whole rows.
TEST(ClearAndWalkWhileOthersWrite) {
  EmbeddingTable table(Table());
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
          keys[i] = static_cast<int64_t>(rng() % 5000);
          const float v = static_cast<float>(rng() % 1000);
          for (int d = 0; d < kDim; ++d) values[i * kDim + d] = v;
        }
        table.Assign(keys.data(), kBatch, values.data(), 1);
        table.Lookup(keys.data(), kBatch, out.data());
        for (size_t i = 0; i < kBatch * kDim; ++i)
          if (out[i] != out[i / kDim * kDim]) ++torn;
      }
    });
  for (int i = 0; i < kRounds; ++i) {
    uint64_t position = 0;
    table.Walk(0, 1, &position, SIZE_MAX, [&](const EmbeddingTable::Row& row) {
      for (int d = 1; d < kDim; ++d)
        if (row.floats[d] != row.floats[0]) ++torn;
    });
    if (i % 5 == 4) table.Clear();
    std::this_thread::yield();
  }
  stop = true;
  Join(&threads);
  CHECK_EQ(torn.load(), 0);
  table.Clear();
  CHECK_EQ(table.size(), 0u);
}

// Rows that nobody inserts or takes away come once in every walk, whatever happens to the others and to the index.
TEST(WalksWhileOthersComeAndGo) {
  EmbeddingTable table(Table());
  constexpr int64_t kStay = kKeys / 40;
  const auto put = [&](int64_t first, int64_t n) {
    std::vector<int64_t> keys;
    for (int64_t k = first; k < first + n; ++k) keys.push_back(k);
    const std::vector<float> values(keys.size() * kDim, 1.f);
    table.Assign(keys.data(), keys.size(), values.data(), 1);
    return keys;
  };
  put(0, kStay);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int w = 0; w < 2; ++w)
    threads.emplace_back([&, w] {
      for (int64_t round = 0; !stop; ++round) {
        const auto keys = put(kKeys * (w + 1) + round % 50 * kBatch, kBatch);
        if (round % 100 >= 50) table.Erase(keys.data(), keys.size());
        put(0, kBatch);
      }
    });
  for (int round = 0; round < std::min(kRounds, 10); ++round) {
    std::vector<int> seen(kStay);
    uint64_t position = 0;
    while (!table.Walk(0, 1, &position, 100, [&](const EmbeddingTable::Row& row) {
      if (row.key < kStay) ++seen[static_cast<size_t>(row.key)];
    })) {
    }
    CHECK_EQ(std::count(seen.begin(), seen.end(), 1), kStay);
  }
  stop = true;
  Join(&threads);
}
