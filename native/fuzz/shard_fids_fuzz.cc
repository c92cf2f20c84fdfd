// Sharding over arbitrary records: every offset points at the fid of its occurrence, and a broken record leaves no trace.
#include <cstdlib>

#include "core/base/error.h"
#include "core/records/shard_output.h"

using namespace monolith;

namespace {

ShardConfig Config(RecordType type, uint8_t choice) {
  ShardConfig config;
  config.type = type;
  config.features = {{"a", "t", {1}}, {"b", "t", {2, 1}}, {"slot_1", "u", {4}}};
  config.ps_num = choice % 4;
  config.unique = choice & 4;
  config.version = 1 + (choice >> 3) % 5;
  return config;
}

void Check(const FidSharder& sharder, const ShardedFids& s) {
  const uint32_t servers = sharder.config().ps_num;
  if (s.feature_offset.back() != static_cast<int32_t>(s.fid_offset.size())) std::abort();
  if (s.nfl_offset.back() != s.feature_offset.size()) std::abort();
  size_t rows = 0;
  for (size_t i = 0; i < s.fids.size(); ++i) {
    rows += s.fids[i].size();
    if (s.row_splits[i].back() != static_cast<int64_t>(s.fids[i].size())) std::abort();
    for (uint64_t fid : s.fids[i])
      if (fid % servers != i % servers) std::abort();
  }
  if (!sharder.config().unique && rows != s.fid_offset.size()) std::abort();
  if (sharder.config().version != 1) return;
  for (uint64_t offset : s.fid_offset)
    if ((offset & UINT32_MAX) >= s.fids.at(offset >> 32).size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t first = std::min<size_t>(data[1], size - 2);
  const char* bytes = reinterpret_cast<const char*>(data + 2);
  const std::string records[] = {std::string(bytes, first), std::string(bytes + first, size - 2 - first)};
  for (RecordType type : {RecordType::kInstance, RecordType::kExample, RecordType::kExampleBatch}) {
    FidSharder sharder(Config(type, data[0]));
    size_t good = 0;
    for (const std::string& record : records) {
      if (type == RecordType::kExampleBatch && good) break;
      try {
        sharder.Add(record);
        ++good;
      } catch (const BadRecord&) {
        if (sharder.rows() != good) std::abort();
      }
    }
    try {
      const ShardedFids& sharded = sharder.Finish();
      Check(sharder, sharded);
      std::string out;
      for (ShardForm form : {ShardForm::kMessage, ShardForm::kJson, ShardForm::kText}) WriteSharded(sharder, sharded, form, &out);
    } catch (const BadRecord&) {
    }
  }
  return 0;
}
