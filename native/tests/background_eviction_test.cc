// When the eviction thread evicts, by a clock that is set here.
#include <atomic>
#include <chrono>
#include <stdexcept>

#include "check.h"
#include "core/tables/background_eviction.h"

using namespace monolith;

TEST(TheFirstLookBeginsThePeriod) {
  std::atomic<int64_t> now{1000};
  int evicted = 0, often = 0;
  BackgroundEviction eviction({{3600, [&] { ++evicted; }}, {600, [&] { ++often; }}}, [&] { return now.load(); });
  CHECK_EQ(eviction.Look(), 0u);
  now += 599;
  CHECK_EQ(eviction.Look(), 0u);
  now += 1;
  CHECK_EQ(eviction.Look(), 1u);
  CHECK_EQ(eviction.Look(), 0u);  // its period begins anew
  now += 2999;
  CHECK_EQ(eviction.Look(), 1u);
  CHECK_EQ(evicted, 0);
  now += 1;
  CHECK_EQ(eviction.Look(), 1u);
  CHECK_EQ(evicted, 1);
  CHECK_EQ(often, 2);
  now -= 100000;  // a clock that is set back makes nothing due
  CHECK_EQ(eviction.Look(), 0u);
}

TEST(AFailureIsTriedAgain) {
  std::atomic<int64_t> now{1};
  int tried = 0;
  BackgroundEviction eviction({{10,
                                [&] {
                                  ++tried;
                                  throw std::runtime_error("no");
                                }}},
                              [&] { return now.load(); });
  for (int i = 0; i < 3; ++i) {
    eviction.Look();
    now += 10;
  }
  CHECK_EQ(tried, 2);
}

// The thread waits ten seconds between looks; ending it does not. Far above what a join takes, far below a look.
TEST(DestructionDoesNotWaitForALook) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) BackgroundEviction eviction({{1, [] {}}});
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(9));
}
