// The forms that sharded fids leave in: a ShardedFids message (protos/monolith_protos/sharded_fids.proto), JSON, text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/records/shard_fids.h"

namespace monolith {

// Version 4: all lists as one, by server, then table.
struct JoinedFids {
  std::vector<uint64_t> fid_list;
  std::vector<int64_t> row_splits;
  std::vector<int32_t> table_row_length, shard_row_length, emb_row_length;
};
JoinedFids Join(const FidSharder& sharder, const ShardedFids& sharded);

enum class ShardForm { kMessage, kJson, kText };

// Appends it; JSON and text without the end of the last line.
void WriteSharded(const FidSharder& sharder, const ShardedFids& sharded, ShardForm form, std::string* out);

}  // namespace monolith
