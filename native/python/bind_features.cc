// Operators on features, feature lists, sharding of fids.
#include "core/operators/columns.h"
#include "core/operators/feature_combine.h"
#include "core/operators/feature_hash.h"
#include "core/operators/fid_mask.h"
#include "core/operators/map_id.h"
#include "core/operators/seq_mask.h"
#include "core/operators/shard_fids.h"
#include "core/operators/switch_slot.h"
#include "core/records/feature_list.h"
#include "python/bind.h"

namespace monolith {
namespace {

using Names = std::vector<std::string>;

std::shared_ptr<Operator> MakeSwitchSlot(const std::string& type, std::vector<std::tuple<std::string, uint32_t, bool>> rules,
                                         std::string suffix) {
  SwitchSlotConfig config;
  config.type = ParseRecordType(type);
  for (auto& [name, slot, in_place] : rules) config.rules.push_back({std::move(name), slot, in_place});
  config.suffix = std::move(suffix);
  return std::make_shared<SwitchSlot>(std::move(config));
}

std::shared_ptr<Operator> MakeColumns(const std::string& type, std::vector<std::pair<std::string, std::string>> rename, Names drop,
                                      std::optional<Names> keep) {
  return std::make_shared<Columns>(ColumnsConfig{ParseRecordType(type), std::move(rename), std::move(drop), std::move(keep)});
}

std::shared_ptr<Operator> MakeCombine(const std::string& type,
                                      std::vector<std::tuple<std::string, std::string, std::string, uint32_t>> rules, bool exact) {
  FeatureCombineConfig config;
  config.type = ParseRecordType(type);
  for (auto& [name, first, second, slot] : rules) config.rules.push_back({std::move(name), std::move(first), std::move(second), slot});
  config.exact = exact;
  return std::make_shared<FeatureCombine>(std::move(config));
}

std::shared_ptr<Operator> MakeFidMask(const std::string& type, std::vector<std::tuple<std::string, std::string, uint64_t>> rules) {
  FidMaskConfig config;
  config.type = ParseRecordType(type);
  for (auto& [name, source, fid] : rules) config.rules.push_back({std::move(name), std::move(source), fid});
  return std::make_shared<FidMask>(std::move(config));
}

std::shared_ptr<Operator> MakeSeqMask(const std::string& type, std::vector<std::tuple<std::string, std::string, uint32_t>> rules) {
  SeqMaskConfig config;
  config.type = ParseRecordType(type);
  for (auto& [name, source, length] : rules) config.rules.push_back({std::move(name), std::move(source), length});
  return std::make_shared<SeqMask>(std::move(config));
}

std::shared_ptr<Operator> MakeHash(const std::string& type, std::vector<std::pair<std::string, uint32_t>> rules, bool exact) {
  FeatureHashConfig config;
  config.type = ParseRecordType(type);
  for (auto& [name, slot] : rules) config.rules.push_back({std::move(name), slot});
  config.exact = exact;
  return std::make_shared<FeatureHash>(std::move(config));
}

std::shared_ptr<Operator> MakeMapId(const std::string& type,
                                    std::vector<std::tuple<std::string, std::vector<std::pair<int64_t, int64_t>>, int64_t>> rules) {
  MapIdConfig config;
  config.type = ParseRecordType(type);
  for (auto& [name, table, other] : rules) config.rules.push_back({std::move(name), std::move(table), other});
  return std::make_shared<MapId>(std::move(config));
}

nb::object Text(const std::optional<std::string>& s) { return s ? nb::cast(*s) : nb::none(); }
nb::object Number(const std::optional<int64_t>& n) { return n ? nb::cast(*n) : nb::none(); }

nb::dict ReadFeatureList(const std::string& text, const std::string& file) {
  const FeatureList list = ParseFeatureList(text, file);
  nb::list features, feeds, caches;
  for (const FeatureEntry& f : list.features)
    features.append(nb::make_tuple(f.feature_name, f.depend, Text(f.method), Number(f.slot), f.args, Number(f.feature_version), f.shared,
                                   f.cache_keys, f.need_raw, Number(f.feature_id), f.input_optional, f.feature_group));
  for (const FeedEntry& f : list.feeds) feeds.append(nb::make_tuple(f.feed_name, f.shared, Number(f.feature_id)));
  for (const CacheEntry& c : list.caches)
    caches.append(nb::make_tuple(c.key, nb::make_tuple(Text(c.cache_column), Text(c.cache_name), Number(c.capacity), Number(c.timeout),
                                                       Text(c.cache_type), Text(c.cache_key_class))));
  nb::dict made;
  made["column_names"] = list.column_names;
  made["features"] = features;
  made["feeds"] = feeds;
  made["caches"] = caches;
  return made;
}

using ShardFeatures = std::vector<std::tuple<std::string, std::string, std::vector<int32_t>>>;

ShardConfig MakeShardConfig(const std::string& type, ShardFeatures features, uint32_t ps_num, bool unique, int version) {
  ShardConfig config;
  config.type = ParseRecordType(type);
  for (auto& [name, table, dims] : features) config.features.push_back({std::move(name), std::move(table), std::move(dims)});
  config.ps_num = ps_num;
  config.unique = unique;
  config.version = version;
  return config;
}

template <class T>
nb::bytes Bytes(const std::vector<T>& values) {
  return nb::bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}
template <class T>
nb::list ListOfBytes(const std::vector<std::vector<T>>& lists) {
  nb::list made;
  for (const std::vector<T>& list : lists) made.append(Bytes(list));
  return made;
}

// Shards one batch; numbers as little-endian bytes.
nb::dict ShardBatch(const std::vector<nb::bytes>& records, const std::string& type, ShardFeatures features, uint32_t ps_num,
                    bool unique, int version) {
  FidSharder sharder(MakeShardConfig(type, std::move(features), ps_num, unique, version));
  std::vector<std::string_view> payloads;
  for (const nb::bytes& r : records) payloads.emplace_back(r.c_str(), r.size());
  const ShardedFids* sharded;
  JoinedFids joined;
  {
    nb::gil_scoped_release release;
    for (size_t i = 0; i < payloads.size(); ++i) {
      try {
        sharder.Add(payloads[i]);
      } catch (const BadRecord& e) {
        throw BadRecord("record " + std::to_string(i) + ": " + e.what());
      }
    }
    sharded = &sharder.Finish();
    if (version == 4) joined = Join(sharder, *sharded);
  }
  nb::dict made;
  made["tables"] = sharder.tables();
  made["fids"] = ListOfBytes(sharded->fids);
  made["row_splits"] = ListOfBytes(sharded->row_splits);
  made["emb_size"] = Bytes(sharded->emb_size);
  made["fid_offset"] = Bytes(sharded->fid_offset);
  made["feature_offset"] = Bytes(sharded->feature_offset);
  made["nfl_offset"] = Bytes(sharded->nfl_offset);
  made["batch_size"] = sharded->batch_size;
  if (version != 4) return made;
  made["joined"] = nb::make_tuple(Bytes(joined.fid_list), Bytes(joined.row_splits), Bytes(joined.table_row_length),
                                  Bytes(joined.shard_row_length), Bytes(joined.emb_row_length));
  return made;
}

std::shared_ptr<Operator> MakeShardFids(const std::string& type, ShardFeatures features, uint32_t ps_num, bool unique, int version,
                                        size_t batch_size, bool drop_remainder, const std::string& form) {
  const ShardForm chosen = form == "json" ? ShardForm::kJson : form == "text" ? ShardForm::kText : ShardForm::kMessage;
  return std::make_shared<ShardFids>(MakeShardConfig(type, std::move(features), ps_num, unique, version), batch_size, drop_remainder,
                                     chosen);
}

}  // namespace

void BindFeatures(nb::module_& m) {
  m.def("switch_slot_operator", &MakeSwitchSlot, nb::arg("type"), nb::arg("rules"), nb::arg("suffix") = "share",
        "rules: name, slot, in place. See monolith_cli.operators.features.");
  m.def("columns_operator", &MakeColumns, nb::arg("type"), nb::arg("rename"), nb::arg("drop"), nb::arg("keep") = nb::none());
  m.def("combine_operator", &MakeCombine, nb::arg("type"), nb::arg("rules"), nb::arg("exact") = false,
        "rules: name, first, second, slot.");
  m.def("fid_mask_operator", &MakeFidMask, nb::arg("type"), nb::arg("rules"), "rules: name, source, fid.");
  m.def("seq_mask_operator", &MakeSeqMask, nb::arg("type"), nb::arg("rules"), "rules: name, source, length.");
  m.def("hash_operator", &MakeHash, nb::arg("type"), nb::arg("rules"), nb::arg("exact") = false, "rules: name, slot.");
  m.def("map_id_operator", &MakeMapId, nb::arg("type"), nb::arg("rules"), "rules: name, table of (from, to), other.");
  m.def("shard_fids_operator", &MakeShardFids, nb::arg("type"), nb::arg("features"), nb::arg("ps_num"), nb::arg("unique"),
        nb::arg("version"), nb::arg("batch_size"), nb::arg("drop_remainder"), nb::arg("form"),
        "features: name, table, slice dims. form: message, json or text.");
  m.def("shard_batch", &ShardBatch, nb::arg("records"), nb::arg("type"), nb::arg("features"), nb::arg("ps_num"), nb::arg("unique"),
        nb::arg("version"), "See monolith_cli.records.shard_fids.shard.");
  m.def("parse_feature_list", &ReadFeatureList, nb::arg("text"), nb::arg("file"),
        "Entries as tuples, in the order of the fields of monolith_cli.records.feature_list.");
}

}  // namespace monolith
