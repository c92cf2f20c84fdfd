// The embedding table on the workload of the table peers: insert KEYS distinct fids, then look up and update (Adagrad)
// batches of 65,536 keys drawn uniformly, each thread on batches of its own.
// Run: table_bench KEYS DIM THREADS   -> one JSON line with the peers' keys, subject "monolith_core"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "core/tables/table.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBatch = 65536, kBatches = 32, kProbes = 32;

double Seconds(Clock::time_point a, Clock::time_point b) { return std::chrono::duration<double>(b - a).count(); }

size_t ResidentBytes() {
  FILE* f = std::fopen("/proc/self/statm", "r");
  long all = 0, resident = 0;
  if (!f || std::fscanf(f, "%ld %ld", &all, &resident) != 2) resident = 0;
  if (f) std::fclose(f);
  return size_t(resident) * 4096;
}

template <class Body>
double Run(int threads, int batches, Body body) {
  const auto begin = Clock::now();
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t)
    workers.emplace_back([=] {
      for (int b = 0; b < batches; ++b) body(t, b);
    });
  for (auto& w : workers) w.join();
  return Seconds(begin, Clock::now());
}

monolith::TableConfig Config(int dim) {
  monolith::TableConfig config;
  config.name = "bench";
  monolith::SegmentConfig segment;
  segment.dim = dim;
  segment.initializer.kind = monolith::InitializerConfig::Kind::kConstant;
  segment.initializer.constant = 0.01f;
  segment.optimizer.kind = monolith::OptimizerConfig::Kind::kAdagrad;
  config.segments.push_back(segment);
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000000;
  const int dim = argc > 2 ? std::atoi(argv[2]) : 16;
  const int threads = argc > 3 ? std::atoi(argv[3]) : 1;
  std::mt19937_64 rng(7);
  std::vector<int64_t> keys(n), probe(size_t(kBatch) * kProbes);
  for (size_t i = 0; i < n; ++i) keys[i] = int64_t(((i % 26 + 1) << 48) | (rng() & ((uint64_t{1} << 48) - 1)));
  for (auto& p : probe) p = keys[rng() % n];
  std::vector<float> grad(size_t(kBatch) * dim);
  for (auto& g : grad) g = float(rng() % 1000) / 1e5f;
  std::vector<float> zeros(size_t(kBatch) * dim, 0.f);
  std::vector<std::vector<float>> out(threads, std::vector<float>(size_t(kBatch) * dim));

  monolith::EmbeddingTable table(Config(dim));
  const size_t before = ResidentBytes();
  const auto t0 = Clock::now();
  for (size_t i = 0; i < n; i += kBatch) table.AssignAdd(&keys[i], std::min<size_t>(kBatch, n - i), zeros.data(), 1);
  const double insert = Seconds(t0, Clock::now());
  const size_t after = ResidentBytes();

  const auto batch = [&](int t, int b) { return &probe[size_t((b * 5 + t * 11) % kProbes) * kBatch]; };
  const auto lookup = [&](int t, int b) { table.Lookup(batch(t, b), kBatch, out[t].data()); };
  const auto update = [&](int t, int b) {
    const float rate = 0.01f;
    table.Optimize(batch(t, b), kBatch, grad.data(), &rate, 1, 0);
  };
  Run(threads, 4, lookup);
  const double l = Run(threads, kBatches, lookup), u = Run(threads, kBatches, update);
  const double ops = double(kBatch) * kBatches * threads;
  std::printf(
      "{\"subject\": \"monolith_core\", \"keys\": %zu, \"dim\": %d, \"threads\": %d, \"insert_mkeys_s\": %.2f, "
      "\"lookup_mkeys_s\": %.2f, \"update_mkeys_s\": %.2f, \"bytes_per_key\": %.1f}\n",
      n, dim, threads, double(n) / insert / 1e6, ops / l / 1e6, ops / u / 1e6, double(after - before) / double(n));
  std::fprintf(stderr, "accounted %.1f bytes per key\n", double(table.memory_bytes()) / double(n));
  return table.size() == n ? 0 : 1;
}
