// What a lookup of any table could reach: random reads of rows of 16 floats with Adagrad state, each way of laying out index, keys and
// rows in turn, with no instruction of a table: where a line is follows from numbers that are known, after the lines before it have
// been read. Every way reads what it needs to be sure of the key, or nothing where the key follows from the index.
// Run: table_limits_bench KEYS   -> one JSON line per layout; of_limit: the median, over the rounds, of the rate as a part of that of rows
// whose numbers are known
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBatch = 65536, kProbes = 32, kRounds = 11, kRoundBatches = 8, kAhead = 16;
constexpr size_t kHugePage = size_t{2} << 20, kWeights = 64;

struct Layout {
  const char* name;
  double index_bytes;  // a key; 0: no index
  size_t stride;       // bytes from row to row
  size_t read;         // bytes of a row that a lookup reads; the weights are the last of them
  bool keys_apart;     // an array of keys beside the rows
};

constexpr Layout kLayouts[] = {
    {"rows by number", 0, 128, 64, false},
    {"index with keys", 11, 128, 64, false},
    {"index of tags, key before its row", 3.5, 136, 72, false},
    {"index of tags, keys apart", 3.5, 128, 64, true},
    {"rows placed by hash, key before its row", 0, 136, 72, false},
};

char* Map(size_t bytes) {
  void* m = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m == MAP_FAILED) {
    std::perror("mmap");
    std::exit(1);
  }
  char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(m) + kHugePage - 1) & ~(kHugePage - 1));
  madvise(aligned, bytes, MADV_HUGEPAGE);
  std::memset(aligned, 0, bytes);  // so that what is read adds nothing to a number, and the compiler does not know
  return aligned;
}

class Memory {
 public:
  explicit Memory(size_t keys) : rows_(Map(keys * 136 + kHugePage)), index_(Map(keys * 11 + kHugePage)), keys_(Map(keys * 8)), n_(keys) {}

  void Lookup(const Layout& layout, const uint32_t* numbers, float* out) const {
    const uint64_t lines = static_cast<uint64_t>(static_cast<double>(n_) * layout.index_bytes / 64);
    const auto line = [&](int i) { return index_ + ((numbers[i] * 0x9e3779b97f4a7c15 >> 32) * lines >> 32) * 64; };
    const auto row = [&](int i) { return rows_ + (numbers[i] + (lines ? Word(line(i)) : 0)) * layout.stride; };
    const auto key = [&](int i) { return keys_ + size_t{numbers[i]} * 8; };
    for (int i = 0; i < kBatch; ++i) {
      if (lines && i + 2 * kAhead < kBatch) __builtin_prefetch(line(i + 2 * kAhead));
      if (i + kAhead < kBatch) {
        const char* next = row(i + kAhead);
        __builtin_prefetch(next);
        if (layout.read > kWeights) __builtin_prefetch(next + layout.read - 1);
        if (layout.keys_apart) __builtin_prefetch(key(i + kAhead));
      }
      const char* here = row(i);
      if (layout.keys_apart) here += Word(key(i));
      if (layout.read > kWeights) here += Word(here);
      std::memcpy(out + size_t(i) * kWeights / sizeof(float), here + layout.read - kWeights, kWeights);
    }
  }

 private:
  static uint64_t Word(const char* p) {
    uint64_t w;
    std::memcpy(&w, p, sizeof w);
    return w;
  }
  char *rows_, *index_, *keys_;
  size_t n_;
};

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000000;
  std::mt19937_64 rng(7);
  std::vector<uint32_t> numbers(size_t(kBatch) * kProbes);
  for (auto& i : numbers) i = static_cast<uint32_t>(rng() % n);
  std::vector<float> out(size_t(kBatch) * kWeights / sizeof(float));
  const Memory memory(n);
  constexpr size_t kCount = std::size(kLayouts);
  std::vector<double> seconds[kCount];
  for (int round = 0; round < kRounds; ++round)
    for (size_t l = 0; l < kCount; ++l) {
      const auto begin = Clock::now();
      for (int b = 0; b < kRoundBatches; ++b)
        memory.Lookup(kLayouts[l], &numbers[size_t((round * kRoundBatches + b) * 5 % kProbes) * kBatch], out.data());
      seconds[l].push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    }
  for (size_t l = 0; l < kCount; ++l) {
    std::vector<double> of_limit;
    for (int round = 0; round < kRounds; ++round) of_limit.push_back(seconds[0][round] / seconds[l][round]);
    std::printf("{\"layout\": \"%s\", \"keys\": %zu, \"lookup_mkeys_s\": %.2f, \"of_limit\": %.3f}\n", kLayouts[l].name, n,
                double(kBatch) * kRoundBatches / 1e6 / Median(seconds[l]), Median(of_limit));
  }
  return 0;
}
