// How long a training step waits while a snapshot of its table is taken and read. One thread makes Adagrad steps of 512 keys without
// end; meanwhile, `SNAPSHOTS` times, another takes a snapshot and reads all of its rows.
// Run: table_pause_bench KEYS DIM SNAPSHOTS   -> one JSON line: milliseconds of the slowest step without and with snapshots, and of Take
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "core/tables/snapshot.h"
#include "core/tables/table.h"

namespace {

using Clock = std::chrono::steady_clock;
double Milliseconds(Clock::time_point a, Clock::time_point b) { return std::chrono::duration<double, std::milli>(b - a).count(); }

double At(std::vector<double> v, double q) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v[std::min(v.size() - 1, static_cast<size_t>(q * static_cast<double>(v.size())))];
}

}  // namespace

int main(int argc, char** argv) {
  const size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10000000;
  const int dim = argc > 2 ? std::atoi(argv[2]) : 16;
  const int snapshots = argc > 3 ? std::atoi(argv[3]) : 5;
  monolith::TableConfig config;
  config.name = "bench";
  config.segments.resize(1);
  config.segments[0].dim = dim;
  config.segments[0].initializer.kind = monolith::InitializerConfig::Kind::kConstant;
  monolith::EmbeddingTable table(config);
  std::mt19937_64 rng(7);
  std::vector<int64_t> keys(n);
  for (auto& k : keys) k = static_cast<int64_t>(rng() >> 1);
  constexpr size_t kBatch = 512;
  const std::vector<float> grads(size_t{65536} * static_cast<size_t>(dim), 0.01f);
  const float rate = 0.01f;
  for (size_t i = 0; i < n; i += 65536) table.Optimize(&keys[i], std::min<size_t>(65536, n - i), grads.data(), &rate, 1, 0);

  std::atomic<bool> stop{false}, during{false};
  std::vector<double> quiet, busy;
  std::thread trainer([&] {
    std::vector<int64_t> batch(kBatch);
    while (!stop) {
      for (auto& k : batch) k = keys[rng() % n];
      const bool was = during;
      const auto begin = Clock::now();
      table.Optimize(batch.data(), kBatch, grads.data(), &rate, 1, 0);
      (was || during ? busy : quiet).push_back(Milliseconds(begin, Clock::now()));
    }
  });
  std::this_thread::sleep_for(std::chrono::seconds(2));
  std::vector<double> take, read;
  size_t rows = 0;
  for (int s = 0; s < snapshots; ++s) {
    during = true;
    const auto a = Clock::now();
    auto all = monolith::TableSnapshot::Take({&table}, false);
    const auto b = Clock::now();
    rows = 0;
    double sum = 0;
    all[0]->Walk(0, 1, [&](const monolith::EmbeddingTable::Row& row) { ++rows, sum += static_cast<double>(row.floats[0]); });
    read.push_back(Milliseconds(b, Clock::now()));
    take.push_back(Milliseconds(a, b));
    all.clear();
    during = false;
    if (sum > 1e30) return 1;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  stop = true;
  trainer.join();
  std::printf(
      "{\"keys\": %zu, \"dim\": %d, \"take_ms_max\": %.2f, \"read_ms_median\": %.0f, \"step_ms_median\": %.3f, \"step_ms_median_during\": %.3f, "
      "\"step_ms_p999\": %.2f, \"step_ms_p999_during\": %.2f, \"step_ms_max\": %.2f, \"step_ms_max_during\": %.2f}\n",
      n, dim, At(take, 1), At(read, .5), At(quiet, .5), At(busy, .5), At(quiet, .999), At(busy, .999), At(quiet, 1), At(busy, 1));
  return rows == table.size() ? 0 : 1;
}
