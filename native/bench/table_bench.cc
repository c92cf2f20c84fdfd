// The embedding table on the workload of the table peers: insert KEYS distinct fids, then look up and update (Adagrad) batches of
// 65,536 keys, each thread on batches of its own. Beside it, in turn, in the same process, the limit of the memory: the same on rows
// whose numbers are known, on huge pages, without a table; and the same behind an index that costs no instruction: one line of it is read
// before the row is known, which is the least that a table with an index apart from its rows can do.
// Run: table_bench KEYS DIM THREADS [uniform|zipf]   -> one JSON line with the peers' keys and the limit's rates; *_of_limit and lookup_of_two_lines:
// the median of the rounds' ratios
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/tables/table.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBatch = 65536, kProbes = 32, kRounds = 9, kRoundBatches = 8;

double Seconds(Clock::time_point a, Clock::time_point b) { return std::chrono::duration<double>(b - a).count(); }

size_t ResidentBytes() {
  FILE* f = std::fopen("/proc/self/statm", "r");
  long all = 0, resident = 0;
  if (!f || std::fscanf(f, "%ld %ld", &all, &resident) != 2) resident = 0;
  if (f) std::fclose(f);
  return size_t(resident) * 4096;
}

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
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

// Which of n keys come: with zipf, key i about 1 / (i + 1) as often as the first.
std::vector<uint32_t> Draw(size_t n, bool zipf, std::mt19937_64* rng) {
  std::vector<uint32_t> numbers(size_t(kBatch) * kProbes);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (auto& i : numbers)
    i = static_cast<uint32_t>(zipf ? std::min<double>(double(n) - 1, std::pow(double(n), uniform(*rng)) - 1) : double((*rng)() % n));
  return numbers;
}

// Rows one behind the other, found by number.
class KnownRows {
 public:
  KnownRows(size_t n, int dim, float value) : dim_(size_t(dim)), bytes_(n * 2 * dim_ * sizeof(float)) {
    rows_ = static_cast<float*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    madvise(rows_, bytes_, MADV_HUGEPAGE);
    std::fill_n(rows_, n * 2 * dim_, value);
  }
  ~KnownRows() { munmap(rows_, bytes_); }
  KnownRows(const KnownRows&) = delete;
  KnownRows& operator=(const KnownRows&) = delete;

  void Lookup(const uint32_t* numbers, float* out) const {
    for (int i = 0; i < kBatch; ++i) {
      if (i + 16 < kBatch) __builtin_prefetch(Row(numbers[i + 16]));
      std::memcpy(out + size_t(i) * dim_, Row(numbers[i]), dim_ * sizeof(float));
    }
  }
  // The index is zeros: what is read in it is waited for, and changes nothing.
  void LookupBehind(const KnownRows& index, const uint32_t* lines, const uint32_t* numbers, float* out) const {
    const auto line = [&](int i) { return index.rows_ + size_t(lines[i]) * 16; };
    const auto number = [&](int i) { return numbers[i] + static_cast<uint32_t>(*line(i)); };
    for (int i = 0; i < kBatch; ++i) {
      if (i + 32 < kBatch) __builtin_prefetch(line(i + 32));
      if (i + 16 < kBatch) __builtin_prefetch(Row(number(i + 16)));
      std::memcpy(out + size_t(i) * dim_, Row(number(i)), dim_ * sizeof(float));
    }
  }
  float* data() const { return rows_; }
  void Update(const uint32_t* numbers, const float* grads) {
    for (int i = 0; i < kBatch; ++i) {
      if (i + 16 < kBatch) FetchForUpdate(numbers[i + 16]);
      Step(Row(numbers[i]), grads + size_t(i) * dim_);
    }
  }
  // In blocks of four, which is faster here than one by one.
  void UpdateBehind(const KnownRows& index, const uint32_t* lines, const uint32_t* numbers, const float* grads, float* timestamps) {
    const auto line = [&](int i) { return index.rows_ + size_t(lines[i]) * 16; };
    const auto number = [&](int i) { return numbers[i] + static_cast<uint32_t>(*line(i)); };
    for (int i = 0; i < kBatch + 8; i += 4) {
      for (int j = i; j < i + 4 && j < kBatch; ++j) __builtin_prefetch(line(j));
      for (int j = i - 4; j >= 0 && j < i && j < kBatch; ++j) {
        __builtin_prefetch(timestamps + number(j), 1);
        FetchForUpdate(number(j));
      }
      for (int j = i - 8; j >= 0 && j < i - 4; ++j) {
        Step(Row(number(j)), grads + size_t(j) * dim_);
        timestamps[number(j)] = 1;
      }
    }
  }

 private:
  void FetchForUpdate(uint32_t number) const {
    for (size_t d = 0; d < 2 * dim_; d += 16) __builtin_prefetch(Row(number) + d, 1);
  }
  void Step(float* w, const float* g) const {
    float* a = w + dim_;
    for (size_t d = 0; d < dim_; ++d) {
      a[d] += g[d] * g[d];
      w[d] -= 0.01f * g[d] / std::sqrt(a[d]);
    }
  }
  float* Row(uint32_t number) const { return rows_ + size_t(number) * 2 * dim_; }
  size_t dim_, bytes_;
  float* rows_;
};

// Seconds that `threads` threads take for their batches.
double Run(int threads, int round, const std::function<void(int, size_t)>& body) {
  const auto begin = Clock::now();
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t)
    workers.emplace_back([=] {
      for (int b = 0; b < kRoundBatches; ++b) body(t, size_t(((round * kRoundBatches + b) * 5 + t * 11) % kProbes) * kBatch);
    });
  for (auto& w : workers) w.join();
  return Seconds(begin, Clock::now());
}

}  // namespace

int main(int argc, char** argv) {
  const size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000000;
  const int dim = argc > 2 ? std::atoi(argv[2]) : 16;
  const int threads = argc > 3 ? std::atoi(argv[3]) : 1;
  const bool zipf = argc > 4 && std::string(argv[4]) == "zipf";
  std::mt19937_64 rng(7);
  std::vector<int64_t> keys(n);
  for (size_t i = 0; i < n; ++i) keys[i] = int64_t(((i % 26 + 1) << 48) | (rng() & ((uint64_t{1} << 48) - 1)));
  const std::vector<uint32_t> numbers = Draw(n, zipf, &rng);
  std::vector<int64_t> probe(numbers.size());
  for (size_t i = 0; i < probe.size(); ++i) probe[i] = keys[numbers[i]];
  std::vector<float> grad(size_t(kBatch) * dim);
  for (auto& g : grad) g = float(rng() % 1000) / 1e5f;
  const std::vector<float> zeros(size_t(kBatch) * dim, 0.f);
  std::vector<std::vector<float>> out(threads, std::vector<float>(size_t(kBatch) * dim));

  monolith::EmbeddingTable table(Config(dim));
  const size_t before = ResidentBytes();
  const auto t0 = Clock::now();
  for (size_t i = 0; i < n; i += kBatch) table.AssignAdd(&keys[i], std::min<size_t>(kBatch, n - i), zeros.data(), 1);
  const double insert = Seconds(t0, Clock::now());
  const size_t bytes = ResidentBytes() - before;

  KnownRows known(n, dim, 0.1f);
  const size_t lines = n * 11 / 64 + 1;  // of 64 bytes: about 11 bytes a key, as the index of the table
  const KnownRows index(lines, 8, 0.f);
  std::vector<uint32_t> line(numbers.size());
  for (size_t i = 0; i < line.size(); ++i) line[i] = static_cast<uint32_t>(static_cast<uint64_t>(probe[i]) * 0x9e3779b97f4a7c15 % lines);
  const KnownRows timestamps(n / 16 + 1, 8, 0.f);
  const float rate = 0.01f;
  const std::function<void(int, size_t)> bodies[] = {
      [&](int t, size_t at) { known.Lookup(&numbers[at], out[t].data()); },
      [&](int t, size_t at) { table.Lookup(&probe[at], kBatch, out[t].data()); },
      [&](int t, size_t at) { known.LookupBehind(index, &line[at], &numbers[at], out[t].data()); },
      [&](int, size_t at) { known.Update(&numbers[at], grad.data()); },
      [&](int, size_t at) { known.UpdateBehind(index, &line[at], &numbers[at], grad.data(), timestamps.data()); },
      [&](int, size_t at) { table.Optimize(&probe[at], kBatch, grad.data(), &rate, 1, 0); }};
  enum { kLimitLookup, kLookup, kApartLookup, kLimitUpdate, kApartUpdate, kUpdate, kBodies };
  std::vector<double> seconds[kBodies];
  for (int round = 0; round < kRounds; ++round)
    for (int b = 0; b < kBodies; ++b) seconds[b].push_back(Run(threads, round, bodies[b]));
  const auto rate_of = [&](int body) { return double(kBatch) * kRoundBatches * threads / 1e6 / Median(seconds[body]); };
  const auto ratio = [&](int of, int to) {
    std::vector<double> ratios;
    for (int r = 0; r < kRounds; ++r) ratios.push_back(seconds[to][r] / seconds[of][r]);
    return Median(ratios);
  };
  std::printf(
      "{\"subject\": \"monolith_core\", \"keys\": %zu, \"dim\": %d, \"threads\": %d, \"draw\": \"%s\", \"insert_mkeys_s\": %.2f, "
      "\"lookup_mkeys_s\": %.2f, \"update_mkeys_s\": %.2f, \"bytes_per_key\": %.1f, \"accounted_bytes_per_key\": %.1f, "
      "\"limit_lookup_mkeys_s\": %.2f, \"limit_update_mkeys_s\": %.2f, \"apart_lookup_mkeys_s\": %.2f, \"apart_update_mkeys_s\": %.2f, "
      "\"lookup_of_limit\": %.3f, \"lookup_of_apart\": %.3f, \"update_of_limit\": %.3f, \"update_of_apart\": %.3f}\n",
      n, dim, threads, zipf ? "zipf" : "uniform", double(n) / insert / 1e6, rate_of(kLookup), rate_of(kUpdate), double(bytes) / double(n),
      double(table.memory_bytes()) / double(n), rate_of(kLimitLookup), rate_of(kLimitUpdate), rate_of(kApartLookup), rate_of(kApartUpdate),
      ratio(kLookup, kLimitLookup), ratio(kLookup, kApartLookup), ratio(kUpdate, kLimitUpdate), ratio(kUpdate, kApartUpdate));
  return table.size() == n ? 0 : 1;
}
