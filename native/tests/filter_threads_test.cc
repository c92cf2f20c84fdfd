// Occurrence filters, gates and touched keys with many threads at once. Meant to run under the thread sanitizer too.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "check.h"
#include "core/tables/filters/counting_filter.h"
#include "core/tables/filters/occurrence_gate.h"
#include "core/tables/filters/sliding_filter.h"
#include "core/tables/table.h"
#include "core/tables/touched_keys.h"

using namespace monolith;

namespace {

constexpr int kThreads = 4;
#ifdef MONOLITH_TSAN
constexpr int kRounds = 10;
#else
constexpr int kRounds = 100;
#endif

template <class Body>
void Together(Body body) {
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) threads.emplace_back([&body, t] { body(t); });
  for (auto& t : threads) t.join();
}

TableConfig Table() {
  TableConfig c;
  c.name = "t";
  SegmentConfig s;
  s.dim = 2;
  s.optimizer.kind = OptimizerConfig::Kind::kSgd;
  s.initializer.kind = InitializerConfig::Kind::kConstant;
  c.segments = {s};
  return c;
}

// Ids whose signatures differ, so that none is taken for another.
std::vector<int64_t> Ids(int n, int first) {
  std::vector<int64_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back(int64_t{first + i} << 17);
  return ids;
}

void CheckElements(const SlidingFilter& filter) {
  for (size_t s = 0; s < static_cast<size_t>(filter.split_num()); ++s) {
    const CountingSplit& split = filter.split(s);
    uint64_t used = 0;
    for (size_t i = 0; i < split.cells.size(); ++i) used += split.cells.Load(i) != 0;
    CHECK_EQ(split.Elements(), std::min(used, split.capacity));
  }
}

}  // namespace

// Every id is added three times by each of four threads: whatever the order, the counts before are 0 to 11, each once.
TEST(NoCountIsLost) {
  for (int round = 0; round < kRounds; ++round) {
    // Splits of 100 ids, so that the head moves all the time, and so many that no id is forgotten before all threads have added it.
    SlidingFilter filter(5900, 60);
    const std::vector<int64_t> ids = Ids(600, 0);
    std::vector<std::vector<uint8_t>> old(3 * kThreads, std::vector<uint8_t>(ids.size()));
    Together([&](int t) {
      for (int k = 0; k < 3; ++k) filter.Add(ids.data(), nullptr, ids.size(), old[static_cast<size_t>(3 * t + k)].data());
    });
    for (size_t i = 0; i < ids.size(); ++i) {
      std::vector<int> seen;
      for (const auto& o : old) seen.push_back(o[i]);
      std::sort(seen.begin(), seen.end());
      for (int k = 0; k < 3 * kThreads; ++k) CHECK_EQ(seen[static_cast<size_t>(k)], k);
    }
    CHECK(filter.state().head_increment >= 6);
  }
}

TEST(OneSplitCountsAsWell) {
  for (int round = 0; round < kRounds; ++round) {
    CountingFilter filter(1000);
    const std::vector<int64_t> ids = Ids(200, 0);
    std::atomic<uint32_t> sum{0};
    Together([&](int) {
      for (int64_t id : ids) sum += filter.Add(id, 1);
    });
    CHECK_EQ(sum.load(), 200u * (0 + 1 + 2 + 3));
    CHECK_EQ(filter.split().Elements(), 200u);
  }
}

// Of each id the files hold a count between those at the beginning and at the end of the save, while the head moves on and splits make
// room for others; and the elements of each split are told as they are.
TEST(SavedWhileItCounts) {
  const std::string folder = std::filesystem::temp_directory_path() / ("filter_threads_" + std::to_string(getpid()));
  constexpr int kIds = 2400, kLaps = 3, kSplits = 7, kOthers = kIds / 20;
  constexpr uint64_t kCapacity = uint64_t{kIds} * (kSplits - 1);
  const std::vector<int64_t> ids = Ids(kIds, 0);
  for (int round = 0; round < std::min(kRounds, 20); ++round) {
    SlidingFilter filter(kCapacity, kSplits);
    std::vector<std::atomic<int>> begun(kIds), ended(kIds);
    std::atomic<int> lap{0}, at_rest{0};
    const auto check = [&](const std::vector<int>& least, const std::vector<int>& most) {
      SlidingFilter restored(kCapacity, kSplits);
      restored.Restore(folder + "/f");
      int wrong = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        const int count = static_cast<int>(restored.Get(ids[i]));
        wrong += count < least[i] || count > most[i];
      }
      CHECK_EQ(wrong, 0);
      CheckElements(restored);
    };
    std::thread saver([&] {
      for (int n = 1; n <= kLaps; ++n) {
        const std::vector<int> least(ended.begin(), ended.end());
        lap = n;
        filter.Save(folder + "/f");
        check(least, std::vector<int>(begun.begin(), begun.end()));
        while (at_rest < n * kThreads) std::this_thread::yield();
      }
    });
    Together([&](int t) {
      int64_t other = kIds + t * kLaps * kOthers;
      for (int n = 1; n <= kLaps; ++n) {
        while (lap < n) std::this_thread::yield();
        for (int i = 0; i < kIds; ++i) {
          uint8_t old;
          ++begun[static_cast<size_t>(i)];
          filter.Add(&ids[static_cast<size_t>(i)], nullptr, 1, &old);
          ++ended[static_cast<size_t>(i)];
          if (i % 20) continue;
          const int64_t id = other++ << 17;  // fills the newest split
          filter.Add(&id, nullptr, 1, &old);
          std::this_thread::sleep_for(std::chrono::microseconds(20));  // so that a lap lasts as long as a save
        }
        ++at_rest;
      }
    });
    saver.join();
    CHECK(filter.state().head_increment >= 1);
  }
  std::filesystem::remove_all(folder);
}

// New ids all the time: splits that a save is reading give way to others.
TEST(SavedWhileTheRingTurns) {
  const std::string folder = std::filesystem::temp_directory_path() / ("filter_ring_" + std::to_string(getpid()));
  SlidingFilter filter(20000, 5);
  std::atomic<bool> stop{false};
  std::thread saver([&] {
    for (int round = 0; round < std::min(kRounds, 30); ++round) {
      filter.Save(folder + "/f");
      SlidingFilter restored(20000, 5);
      restored.Restore(folder + "/f");
      CheckElements(restored);
    }
    stop = true;
  });
  Together([&](int t) {
    uint8_t old[100];
    for (int first = t << 28; !stop; first += 100) filter.Add(Ids(100, first).data(), nullptr, 100, old);
  });
  saver.join();
  CHECK(filter.state().head_increment >= 5);
  std::filesystem::remove_all(folder);
}

// Several tables' writers behind one filter, gates set and taken away meanwhile: every id gets its row in the end.
TEST(TablesShareAFilter) {
  EmbeddingTable a(Table()), b(Table());
  auto filter = std::make_shared<SlidingFilter>(100000, 7);
  auto touched = std::make_shared<TouchedKeySet>(100000, 4);
  const auto gate = [&](uint32_t threshold) { return std::make_shared<OccurrenceGate>(filter, SlotThresholds(threshold)); };
  a.SetGate(gate(3));
  b.SetGate(gate(2));
  a.SetTouched(touched);
  Together([&](int t) {
    for (int round = 0; round < kRounds; ++round) {
      const std::vector<int64_t> ids = Ids(64, 64 * (round % 8));
      const std::vector<float> grads(2 * ids.size(), -1.f);
      const float rate = 1;
      (t % 2 ? a : b).Optimize(ids.data(), ids.size(), grads.data(), &rate, 1, 1);
      if (t == 0 && round % 4 == 0) b.SetGate(round % 8 ? nullptr : gate(2));
    }
  });
  for (int round = 0; round < 4; ++round) {  // past every threshold
    const std::vector<int64_t> ids = Ids(512, 0);
    const std::vector<float> grads(2 * ids.size(), -1.f);
    const float rate = 1;
    a.Optimize(ids.data(), ids.size(), grads.data(), &rate, 1, 1);
    b.Optimize(ids.data(), ids.size(), grads.data(), &rate, 1, 1);
  }
  CHECK_EQ(a.size(), 512u);
  CHECK_EQ(b.size(), 512u);
  std::set<int64_t> stolen;
  for (const auto& e : touched->Steal()) {
    CHECK(e.table == &a);
    stolen.insert(e.key);
  }
  CHECK_EQ(stolen.size(), 512u);
}

// Inserts, drops and steals at once: the set stays small, and what was dropped, stolen and left adds up.
TEST(TouchedKeysAddUp) {
  TouchedKeySet touched(1000, 64);
  std::atomic<uint64_t> dropped{0}, stolen{0};
  Together([&](int t) {
    std::vector<int64_t> keys(500);
    for (int round = 0; round < kRounds; ++round) {
      for (size_t i = 0; i < keys.size(); ++i) keys[i] = (int64_t{t} << 40) + round * 500 + static_cast<int64_t>(i);
      dropped += touched.Insert(keys.data(), keys.size(), &touched);
      CHECK(touched.size() <= 1000 + kThreads);
      if (t == 0 && round % 3 == 0) stolen += touched.Steal().size();
    }
  });
  stolen += touched.Steal().size();
  CHECK_EQ(dropped + stolen, uint64_t{500} * kThreads * kRounds);
  CHECK_EQ(touched.size(), 0u);
}
