// Saving and restoring an embedding table: KEYS rows of DIM floats with Adagrad state, no two alike.
// Run: checkpoint_bench KEYS DIM DIR [SHARDS]   -> one JSON line; the files stay in DIR as table-…
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "core/tables/checkpoint.h"

namespace {

double Wall() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double Cpu() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
  return seconds(u.ru_utime) + seconds(u.ru_stime);
}

monolith::TableConfig Config(int dim) {
  monolith::TableConfig config;
  config.name = "bench";
  monolith::SegmentConfig segment;
  segment.dim = dim;
  segment.optimizer.kind = monolith::OptimizerConfig::Kind::kAdagrad;
  config.segments.push_back(segment);
  return config;
}

void Fill(monolith::EmbeddingTable* table, size_t n) {
  constexpr size_t kBatch = 4096;
  std::mt19937_64 rng(7);
  const size_t floats = size_t(table->dim()) * 2;
  std::vector<int64_t> keys(kBatch);
  std::vector<float> rows(kBatch * floats);
  std::vector<uint32_t> times(kBatch);
  for (size_t at = 0; at < n; at += kBatch) {
    const size_t m = std::min(kBatch, n - at);
    for (size_t i = 0; i < m; ++i) {
      keys[i] = int64_t((((at + i) % 26 + 1) << 48) | (rng() & ((uint64_t{1} << 48) - 1)));
      times[i] = 1700000000 + uint32_t(rng() % 86400);
    }
    for (float& v : rows) v = float(int64_t(rng() >> 40) - (1 << 23)) * 1e-8f;
    table->PutRows(keys.data(), m, rows.data(), times.data());
  }
  table->RaiseMaxUpdateTs(1700086400);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return std::fprintf(stderr, "checkpoint_bench KEYS DIM DIR [SHARDS]\n"), 2;
  const size_t n = std::strtoull(argv[1], nullptr, 10);
  const int dim = std::atoi(argv[2]), shards = argc > 4 ? std::atoi(argv[4]) : -1;
  const std::string base = std::string(argv[3]) + "/table";
  double save_wall, save_cpu;
  {
    monolith::MultiTable tables({Config(dim)});
    Fill(&tables.table(0), n);
    save_wall = Wall(), save_cpu = Cpu();
    tables.Save(base, shards);
    save_wall = Wall() - save_wall, save_cpu = Cpu() - save_cpu;
  }
  uintmax_t bytes = 0;
  for (const auto& f : std::filesystem::directory_iterator(argv[3]))
    if (f.path().filename().string().rfind("table", 0) == 0) bytes += f.file_size();
  monolith::MultiTable back({Config(dim)});
  double wall = Wall(), cpu = Cpu();
  back.Restore(base);
  wall = Wall() - wall, cpu = Cpu() - cpu;
  std::printf("{\"subject\": \"monolith_core\", \"keys\": %zu, \"dim\": %d, \"bytes\": %ju, \"save_s\": %.3f, \"save_cpu_s\": %.3f, "
              "\"restore_s\": %.3f, \"restore_cpu_s\": %.3f}\n", back.table(0).size(), dim, bytes, save_wall, save_cpu, wall, cpu);
  return 0;
}
