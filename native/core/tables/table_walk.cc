// Rows of a table in pieces, in the order of the hashes of their keys: an order that growth, insertion and eviction leave as it is, so
// that a position in it is good from call to call.
#include <algorithm>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/tables/encoded_rows.h"
#include "core/tables/row_copy.h"
#include "core/tables/table.h"
#include "core/tables/table_impl.h"

namespace monolith {
namespace {

// Groups whose keys are looked at together: several times as many as a key may have moved, and few enough that growth does not wait
// long to free memory.
constexpr uint32_t kWindowGroups = 512;
constexpr uint32_t kLongestMove = KeyGroup::kSteps[KeyGroup::kMoves - 1];

struct FoundKey {
  uint64_t hash;
  RowId id;
};

// Hashes [first, last].
struct HashRange {
  uint64_t first, last;
};

HashRange RangeOf(size_t shard, size_t shards) {
  const auto begin = [&](size_t k) { return (static_cast<unsigned __int128>(k) << 64) / shards; };
  return {static_cast<uint64_t>(begin(shard)), static_cast<uint64_t>(begin(shard + 1) - 1)};
}

// The last hash of the segment that belongs to a group before `end`, which is above 0.
uint64_t LastHashBefore(const Segment& segment, uint32_t end) {
  const unsigned __int128 top = ((static_cast<unsigned __int128>(end) << 32) + segment.groups() - 1) / segment.groups();
  const unsigned __int128 in_a_step = (static_cast<unsigned __int128>(1) << segment.depth()) - 1;
  return segment.prefix() + static_cast<uint64_t>((((top << 32) + in_a_step) >> segment.depth()) - 1);
}

// The keys of a range in their order; all of them belong to groups from `home` on, kWindowGroups of them at most.
void CollectKeys(const Segment& segment, uint32_t home, HashRange range, std::vector<FoundKey>* keys) {
  keys->clear();
  const uint32_t scanned = std::min(segment.groups(), kWindowGroups + kLongestMove);
  for (uint32_t i = 0; i < scanned; ++i) {
    const uint32_t number = home + i < segment.groups() ? home + i : home + i - segment.groups();
    const KeyGroup& g = *segment.Group(number);
    for (unsigned used = g.meta.load(std::memory_order_acquire) & KeyGroup::kAllUsed; used; used &= used - 1) {
      const int slot = __builtin_ctz(used);
      const RowId id = g.Row(slot);
      if (id == kNoRow) continue;
      const uint64_t hash = segment.HashAt(number, slot);
      if (hash >= range.first && hash <= range.last) keys->push_back({hash, id});
    }
  }
  std::sort(keys->begin(), keys->end(), [](const FoundKey& a, const FoundKey& b) { return a.hash < b.hash; });
  // One that left and came back meanwhile was found in two places.
  keys->erase(std::unique(keys->begin(), keys->end(), [](const FoundKey& a, const FoundKey& b) { return a.hash == b.hash; }), keys->end());
}

}  // namespace

bool EmbeddingTable::Walk(size_t shard, size_t shards, uint64_t* position, size_t limit,
                          const std::function<void(const Row&)>& visit) const {
  if (plan().serving()) throw ServingNotSaved(config().name);
  if (*position == kWalkDone) return true;
  const HashRange all = RangeOf(shard, shards);
  if (*position > all.last - all.first)
    throw Error(ErrorCode::kUsage, "table '" + config().name + "': offset " + std::to_string(static_cast<int64_t>(*position)) +
                                       " is none that a call for shard " + std::to_string(shard) + " of " + std::to_string(shards) + " gave");
  std::vector<FoundKey> keys;
  RowBuffer copy(plan().row_bytes());
  for (size_t given = 0; *position != kWalkDone;) {
    Impl::ReadSection section(*impl_);
    HashRange range{all.first + *position, all.last};
    const Segment& segment = *section.directory().Of(range.first);
    const uint32_t home = segment.Home(range.first);
    range.last = std::min(range.last, LastHashBefore(segment, std::min(segment.groups(), home + kWindowGroups)));
    CollectKeys(segment, home, range, &keys);
    const auto move_behind = [&](uint64_t hash) { *position = hash == all.last ? kWalkDone : hash + 1 - all.first; };
    for (const FoundKey& k : keys) {
      // The position behind the last hash but one is the mark of the end, so the last one comes too.
      if (given >= limit && *position != kWalkDone) return false;
      Row row{KeyOfHash(k.hash), 0, reinterpret_cast<const float*>(copy.data())};
      CopyRow(impl_->locks, segment.Row(k.id), segment.Timestamp(k.id), copy.data(), plan().row_bytes(), &row.timestamp);
      visit(row);
      ++given;
      move_behind(k.hash);
    }
    move_behind(range.last);
  }
  return true;
}

}  // namespace monolith
