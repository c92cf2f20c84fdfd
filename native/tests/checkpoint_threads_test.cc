// Saves, whole and in deltas, while others write; restores with fewer and more files than cores.
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "check.h"
#include "core/tables/checkpoint.h"

using namespace monolith;

namespace {

constexpr int64_t kKeys = 3000;
constexpr size_t kDim = 6;

struct Folder {
  Folder() {
    char name[] = "/tmp/checkpoint_threads_test.XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

TableConfig Table(const char* name) {
  TableConfig c;
  c.name = name;
  SegmentConfig s;
  s.dim = kDim;
  c.segments = {s};
  return c;
}

// Every generation is written to `first`, then to `second`, key by key.
void WriteGenerations(MultiTable* tables, int64_t from, int64_t to, const std::atomic<bool>& stop) {
  for (float g = 1; !stop; ++g)
    for (int64_t k = from; k < to && !stop; ++k) {
      const std::vector<float> row(kDim, g);
      for (size_t t = 0; t < 2; ++t) tables->table(t).Assign(&k, 1, row.data(), 1000);
    }
}

// Rows are whole, and no table has what came after the other's moment.
void CheckOneInstant(const MultiTable& t) {
  size_t torn = 0, apart = 0;
  for (int64_t k = 0; k < kKeys; ++k) {
    float first[kDim] = {}, second[kDim] = {};
    t.table(0).Lookup(&k, 1, first);
    t.table(1).Lookup(&k, 1, second);
    for (size_t i = 1; i < kDim; ++i) torn += first[i] != first[0] || second[i] != second[0];
    apart += first[0] != second[0] && first[0] != second[0] + 1;
  }
  CHECK_EQ(torn, 0u);
  CHECK_EQ(apart, 0u);
}

}  // namespace

TEST(SavesWhileOthersWriteAreOfOneInstant) {
  Folder dir;
  MultiTable tables({Table("first"), Table("second")}), back({Table("first"), Table("second")});
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int64_t w = 0; w < 2; ++w)
    writers.emplace_back([&, w] { WriteGenerations(&tables, w * kKeys / 2, (w + 1) * kKeys / 2, stop); });
  std::vector<std::string> names;
  for (int i = 0; i < 12; ++i) {
    names.push_back(dir.path + "/m" + std::to_string(i));
    if (i % 6 == 0) tables.SaveBase(names.back(), 1 + i % 3);
    else CHECK(tables.SaveDelta(names.back(), 1 + i % 3));
  }
  stop = true;
  for (auto& w : writers) w.join();
  for (const std::string& name : names) {
    back.Restore(name);
    CheckOneInstant(back);
  }
}

TEST(TwoSavesAtOnceAreBothWhole) {
  Folder dir;
  MultiTable tables({Table("first"), Table("second")}), back({Table("first"), Table("second")});
  for (int64_t k = 0; k < kKeys; ++k) {
    const std::vector<float> row(kDim, float(k));
    for (size_t t = 0; t < 2; ++t) tables.table(t).Assign(&k, 1, row.data(), 1000);
  }
  std::thread other([&] { tables.Save(dir.path + "/other", 5); });
  tables.SaveBase(dir.path + "/base", 1);
  CHECK(tables.SaveDelta(dir.path + "/delta", 2));
  other.join();
  for (const char* name : {"/other", "/base", "/delta"}) {
    back.Restore(dir.path + name);
    CHECK_EQ(back.table(0).size() + back.table(1).size(), size_t(2 * kKeys));
  }
}
