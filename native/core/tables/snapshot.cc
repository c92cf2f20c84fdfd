#include "core/tables/snapshot.h"

namespace monolith {
namespace {

class FrozenSnapshot : public TableSnapshot {
 public:
  explicit FrozenSnapshot(const EmbeddingTable& table) : table_(table), frozen_(table) {}
  size_t size() const override { return table_.size(); }
  void Walk(size_t shard, size_t shards, const std::function<void(const EmbeddingTable::Row&)>& visit) override {
    size_t offset = 0;
    frozen_.Walk(shard, shards, &offset, ~size_t{0}, [&](const EmbeddingTable::Row& row) {
      visit(row);
      return true;
    });
  }
  const std::vector<int64_t>& erased() const override { return erased_; }
  void Commit() override {}

 private:
  const EmbeddingTable& table_;
  EmbeddingTable::Freeze frozen_;
  std::vector<int64_t> erased_;
};

}  // namespace

std::vector<std::unique_ptr<TableSnapshot>> TableSnapshot::Take(const std::vector<const EmbeddingTable*>& tables, bool) {
  std::vector<std::unique_ptr<TableSnapshot>> all;
  for (const EmbeddingTable* t : tables) all.push_back(std::make_unique<FrozenSnapshot>(*t));
  return all;
}

}  // namespace monolith
