// Which files of a folder hold item pools: their names, and the choice among them (spec 20, sections 23.2 and 23.3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace monolith {

// Where a pool stands: `shards` files in a folder, of one worker at one step.
struct PoolPlace {
  std::string folder;
  uint64_t step = 0;
  uint32_t index = 0, workers = 1;  // index < workers
  uint32_t shards = 1;
};

struct PoolFile {
  std::string name;  // without the folder
  bool stepped = true;  // false: the old naming, item_pool_…
  uint64_t step = 0;
  uint32_t index = 0, shard = 0, workers = 1;
  int64_t changed = 0;  // nanoseconds since 1970
};

// model.ckpt-<step>_item_pool_<index>_<shard>_<workers>
std::string PoolFileName(uint64_t step, uint32_t index, uint32_t shard, uint32_t workers);

// None for what is no pool file: other names, `_tmp` and `_old` ones, numbers out of range.
std::optional<PoolFile> ParsePoolFileName(std::string_view name);

// All pool files of a folder, by name; none when there is no such folder. Throws Error(kNoInput, kIo).
std::vector<PoolFile> ListPoolFiles(const std::string& folder);

// The file to restore one shard from; nullptr for none. It is one of the largest step up to `place.step`; worker i of
// another number of workers W takes the file of worker i mod W. W is one that files of just this step have, if there are
// any. Among several the file written last goes before. Without a step, the old naming counts.
const PoolFile* ChoosePoolFile(const std::vector<PoolFile>& files, const PoolPlace& place, uint32_t shard);

}  // namespace monolith
