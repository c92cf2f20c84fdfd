// The item pool on disk (spec 20, section 23.2): TFRecord files of ChannelCache messages, items in the order of their
// queue, so that age survives. A channel that makes more than 64 MiB goes on in further messages of the same channel id.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/operators/item_pool.h"

namespace monolith {

// One item as a file has it. Views stay valid during the visit.
struct StoredItem {
  uint64_t channel = 0, id = 0;
  std::string_view fids, columns;  // as in PooledItem
  uint32_t origin_count = 0, sample_count = 0;  // more than fits is cut to the most that does
};

// Serialized ChannelCache → its items. Throws BadRecord.
void ParseChannelCache(std::string_view message, const std::function<void(const StoredItem&)>& visit);

// All items of a file. Throws Error(kNoInput, kIo), Error(kBadData) naming file, byte and reason; what came before has
// been visited.
void ReadPoolFile(const std::string& path, const std::function<void(const StoredItem&)>& visit);

// The channels with id mod shards = shard, as a whole new file, synced. Throws Error(kCannotCreate, kIo).
void WritePoolFile(const std::string& path, const ItemPool& pool, uint32_t shard, uint32_t shards);

}  // namespace monolith
