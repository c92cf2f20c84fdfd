// Rows brought together by key, against a map in memory: with room for all of them, for some, and for hardly any.
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "core/base/random.h"
#include "core/tables/key_partition.h"
#include "core/tables/row_spool.h"

using namespace monolith;

namespace {

using Key = std::pair<uint32_t, int64_t>;
using Rows = std::vector<std::pair<uint32_t, std::string>>;

void ByKey(size_t memory, size_t rows, int64_t keys, size_t same) {
  Random random(rows + memory);
  KeyPartition partition("", memory);
  std::map<Key, Rows> want;
  for (size_t i = 0; i < rows; ++i) {
    const int64_t key = i < same ? -7 : static_cast<int64_t>(random.Below(static_cast<uint64_t>(keys))) << 48;
    const uint32_t table = static_cast<uint32_t>(random.Below(3)), source = static_cast<uint32_t>(random.Below(2));
    const std::string message(random.Below(200), static_cast<char>(i));
    partition.Add({key, table, source, message});
    want[{table, key}].push_back({source, message});
  }
  std::set<Key> seen;
  std::vector<KeyPartition::Row> batch;
  size_t batches = 0;
  while (partition.NextBatch(&batch)) {
    ++batches;
    for (size_t i = 0, end; i < batch.size(); i = end) {
      const Key key{batch[i].table, batch[i].key};
      CHECK(seen.insert(key).second);
      Rows rows_of;
      for (end = i; end < batch.size() && Key(batch[end].table, batch[end].key) == key; ++end)
        rows_of.push_back({batch[end].source, std::string(batch[end].message)});
      CHECK(rows_of == want[key]);
    }
  }
  CHECK(seen.size() == want.size());
  CHECK(rows == 0 ? batches == 0 : batches > 0);
}

}  // namespace

TEST(Lanes) {
  RowSpool spool("", 1000);
  std::map<size_t, std::vector<std::string>> want;
  Random random(1);
  for (size_t i = 0; i < 3000; ++i) {
    const size_t lane = random.Below(7) * 3;
    want[lane].emplace_back(i % 50 == 0 ? 5000 : random.Below(90), static_cast<char>(i));
    spool.Append(lane, want[lane].back());
  }
  CHECK(spool.lanes() == 19);
  for (size_t lane = 0; lane < 25; ++lane) {
    RowSpool::Reader reader(spool, lane);
    std::vector<std::string> found;
    for (std::string_view record; reader.Next(&record);) found.emplace_back(record);
    CHECK(found == want[lane]);
    CHECK(spool.records(lane) == found.size());
  }
}

TEST(Nothing) { ByKey(1 << 20, 0, 1, 0); }
TEST(AllInMemory) { ByKey(64 << 20, 20000, 5000, 0); }
TEST(SomeInTheFile) { ByKey(1 << 20, 20000, 5000, 0); }
TEST(LanesArePartedAgain) { ByKey(4 << 10, 20000, 5000, 0); }
TEST(OneKeyIsMoreThanFits) { ByKey(4 << 10, 20000, 5000, 3000); }
