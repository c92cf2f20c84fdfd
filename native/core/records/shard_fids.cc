#include "core/records/shard_fids.h"

#include <algorithm>
#include <map>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/fid.h"
#include "core/records/batch_size.h"
#include "core/records/feature_value.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;

constexpr uint32_t kShared = uint32_t{1} << 31;
constexpr uint32_t kMostServers = 65536;

void Append(std::string_view run, bool v1, std::vector<uint64_t>* fids) {
  const size_t at = fids->size(), n = run.size() / 8;
  fids->resize(at + n);
  uint64_t* const to = fids->data() + at;
  if (n) std::memcpy(to, run.data(), n * 8);
  if (v1)
    for (size_t i = 0; i < n; ++i) to[i] = fid::V1ToV2(to[i]);
}

}  // namespace

FidSharder::FidSharder(ShardConfig config) : config_(std::move(config)) {
  if (config_.ps_num == 0) config_.ps_num = 1;
  if (config_.ps_num > kMostServers) throw Error(ErrorCode::kUsage, "more than 65536 parameter servers");
  if (config_.version < 1 || config_.version > 5) throw Error(ErrorCode::kUsage, "the version of the output is 1 to 5");
  if (config_.features.empty()) throw Error(ErrorCode::kUsage, "there are no features to shard");
  std::sort(config_.features.begin(), config_.features.end(),
            [](const ShardFeature& a, const ShardFeature& b) { return a.name < b.name; });
  SetUpTables();
  std::fill(std::begin(by_slot_), std::end(by_slot_), int16_t{-1});
  for (size_t i = 0; i < features_.size(); ++i) {
    const std::string& name = config_.features[i].name;
    if (names_.Add(name) != static_cast<int>(i)) throw Error(ErrorCode::kUsage, "feature '" + name + "' is given twice");
    if (config_.type != RecordType::kInstance) continue;
    const int slot = fid::NamedSlotV1(name);
    if (slot < 0) continue;
    if (by_slot_[slot] >= 0)
      throw Error(ErrorCode::kUsage, "'" + config_.features[by_slot_[slot]].name + "' and '" + name + "' are both slot " +
                                         std::to_string(slot) + " of an instance; only one of them can have its fids");
    by_slot_[slot] = static_cast<int16_t>(i);
    features_[i].slot = slot;
    flat_ = true;
  }
  seen_.resize(1024);
  Clear();
}

void FidSharder::SetUpTables() {
  std::map<std::string, uint32_t> counts;
  for (const ShardFeature& f : config_.features) ++counts[f.table];
  uint64_t base = 0;
  for (const auto& [table, count] : counts) {
    tables_.push_back(table);
    table_features_.push_back(count);
    table_base_.push_back(base);
    base += uint64_t{count} * config_.ps_num;
  }
  std::vector<uint32_t> places(tables_.size());
  for (const ShardFeature& f : config_.features) {
    Feature made;
    made.table = static_cast<uint32_t>(std::lower_bound(tables_.begin(), tables_.end(), f.table) - tables_.begin());
    made.place = places[made.table]++;
    made.width = 0;
    for (int32_t dim : f.slice_dims) {
      if (dim < 0) throw Error(ErrorCode::kUsage, "feature '" + f.name + "' has a slice of negative width");
      made.width += static_cast<uint64_t>(dim);
    }
    features_.push_back(std::move(made));
  }
}

void FidSharder::Clear() {
  rows_ = 0;
  for (Feature& f : features_) {
    f.fids.clear();
    f.lengths.clear();
    f.begin = 0;
    f.shared = f.seen = false;
    f.pending = {};
  }
}

void FidSharder::Add(std::string_view payload) {
  origin_ = payload.data();
  try {
    switch (config_.type) {
      case RecordType::kInstance: return AddInstance(payload);
      case RecordType::kExample: return AddExample(payload);
      case RecordType::kExampleBatch: return AddBatch(payload);
    }
  } catch (const BadRecord&) {
    RollBack();
    throw;
  }
}

void FidSharder::RollBack() {
  if (config_.type == RecordType::kExampleBatch) return Clear();
  for (Feature& f : features_) {
    f.lengths.resize(rows_);
    if (f.begin < f.fids.size()) f.fids.resize(f.begin);
    f.pending = {};
  }
}

void FidSharder::EndRow(Feature* feature) { feature->lengths.push_back(static_cast<uint32_t>(feature->fids.size() - feature->begin)); }

void FidSharder::AddInstance(std::string_view payload) {
  using namespace schema::instance;
  Cursor c(payload, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(kFid, Type::kBytes) || tag == Key(kFid, Type::kFixed64)) {
      const std::string_view run = tag == Key(kFid, Type::kFixed64) ? c.Fixed64() : wire::PackedOf(c.Bytes(), 8, c);
      if (!flat_) continue;
      for (size_t i = 0; i < run.size(); i += 8) {
        const uint64_t f = LoadLe<uint64_t>(run.data() + i);
        const int feature = by_slot_[fid::SlotV1(f)];
        if (feature >= 0) features_[feature].fids.push_back(fid::V1ToV2(f));
      }
    } else if (tag == Key(kFeature, Type::kBytes)) {
      const std::string_view column = c.Bytes();
      std::string_view name;
      ForEachBytesOf(column, schema::column::kName, origin_, [&](std::string_view n) { name = n; });
      const int feature = names_.Find(name);
      if (feature >= 0) features_[feature].pending = column;
    } else {
      c.Skip(tag);
    }
  }
  for (Feature& f : features_)
    if (f.pending.data()) f.fids.resize(f.begin), ReadColumn(f.pending, &f);
  for (Feature& f : features_) EndRow(&f), f.begin = f.fids.size(), f.pending = {};
  ++rows_;
}

void FidSharder::ReadColumn(std::string_view column, Feature* feature) {
  using namespace schema::column;
  const auto append = [&](std::string_view run) { Append(run, false, &feature->fids); };
  ForEachFixedRun<8>(column, kFid, origin_, append);
  ForEachBytesOf(column, kFidList, origin_,
                 [&](std::string_view list) { ForEachFixedRun<8>(list, schema::kListValue, origin_, append); });
}

void FidSharder::AddExample(std::string_view payload) {
  using namespace schema::named_feature;
  Cursor c(payload, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag != Key(schema::example::kNamedFeature, Type::kBytes)) {
      c.Skip(tag);
      continue;
    }
    const std::string_view named = c.Bytes();
    std::string_view name;
    ForEachBytesOf(named, kName, origin_, [&](std::string_view n) { name = n; });
    const int feature = names_.Find(name);
    if (feature >= 0) features_[feature].pending = named;
  }
  for (Feature& f : features_)
    if (f.pending.data()) ReadNamed(f.pending, &f);
  for (Feature& f : features_) EndRow(&f), f.begin = f.fids.size(), f.pending = {};
  ++rows_;
}

// Occurrences of the Feature message merge by being put together.
void FidSharder::ReadNamed(std::string_view named, Feature* feature) {
  std::string_view first;
  size_t n = 0;
  ForEachBytesOf(named, schema::named_feature::kFeature, origin_, [&](std::string_view message) {
    if (n++ == 0) {
      first = message;
      return;
    }
    if (n == 2) merged_.assign(first);
    merged_.append(message);
  });
  if (n == 1) ReadFeature(first, feature);
  if (n > 1) {
    const char* const origin = origin_;
    origin_ = merged_.data();
    ReadFeature(merged_, feature);
    origin_ = origin;
  }
}

// The fids of a Feature: of the member that is set last, all its occurrences.
void FidSharder::ReadFeature(std::string_view message, Feature* feature) {
  const size_t begin = feature->fids.size();
  uint32_t member = 0;
  Cursor c(message, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    const uint32_t number = tag >> 3;
    if (number == 0 || number > schema::feature::kFidV1Lists || tag != FeatureTag(number)) {
      c.Skip(tag);
      continue;
    }
    if (number != member) feature->fids.resize(begin), member = number;
    if (number > schema::feature::kFidV2List) {
      c.Skip(tag);
      continue;
    }
    ForEachFixedRun<8>(c.Bytes(), schema::kListValue, origin_,
                       [&](std::string_view run) { Append(run, number == schema::feature::kFidV1List, &feature->fids); });
  }
}

void FidSharder::AddBatch(std::string_view payload) {
  namespace eb = schema::example_batch;
  if (rows_ || features_[0].seen) throw Error(ErrorCode::kUsage, "an example_batch is a batch for itself");
  int64_t rows = 0;
  Cursor c(payload, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(eb::kNamedFeatureList, Type::kBytes)) {
      const std::string_view column = c.Bytes();
      std::string_view name;
      ForEachBytesOf(column, schema::named_feature_list::kName, origin_, [&](std::string_view n) { name = n; });
      const int feature = names_.Find(name);
      if (feature >= 0) features_[feature].pending = column;
    } else if (tag == Key(eb::kBatchSize, Type::kVarint)) {
      rows = static_cast<int32_t>(c.Varint());
    } else {
      c.Skip(tag);
    }
  }
  rows_ = CheckedBatchSize(rows, payload.size());
  for (Feature& f : features_) AddColumn(&f, rows_);
}

void FidSharder::AddColumn(Feature* feature, size_t rows) {
  namespace nfl = schema::named_feature_list;
  feature->seen = true;
  if (!feature->pending.data()) {
    feature->shared = true;
    feature->lengths.push_back(0);
    return;
  }
  const std::string& name = config_.features[static_cast<size_t>(feature - features_.data())].name;
  Cursor c(feature->pending, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(nfl::kFeature, Type::kBytes)) {
      feature->begin = feature->fids.size();
      ReadFeature(c.Bytes(), feature);
      EndRow(feature);
    } else if (tag == Key(nfl::kType, Type::kVarint)) {
      feature->shared = static_cast<int32_t>(c.Varint()) == static_cast<int32_t>(nfl::kShared);
    } else {
      c.Skip(tag);
    }
  }
  if (feature->shared) {
    if (feature->lengths.empty()) throw BadRecord("shared column '" + name + "' has no entry");
    feature->lengths.resize(1);
    feature->fids.resize(feature->lengths[0]);
  } else if (feature->lengths.size() != rows) {
    throw BadRecord("column '" + name + "' has " + std::to_string(feature->lengths.size()) + " entries in a batch of " +
                    std::to_string(rows));
  }
}

// The list that holds a fid, and where in it: versions 1 and 2 count rows, the others floats. Version 2 has a list for
// each feature, table and server.
uint64_t FidSharder::OffsetOf(const Feature& f, uint32_t server, uint64_t position) const {
  const uint64_t list = uint64_t{f.table} * config_.ps_num + server;
  switch (config_.version) {
    case 1: return list << 32 | (before_rows_[server] + position);
    case 2: return (table_base_[f.table] + uint64_t{server} * table_features_[f.table] + f.place) << 32 | position;
    default: return list << 32 | (before_floats_[server] + position * f.width);
  }
}

void FidSharder::Grow() {
  std::vector<Slot> old(seen_.size() * 2);
  old.swap(seen_);
  const size_t mask = seen_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.generation != generation_) continue;
    size_t at = (slot.fid * 0x9e3779b97f4a7c15u) >> 32 & mask;
    while (seen_[at].generation == generation_) at = (at + 1) & mask;
    seen_[at] = slot;
  }
}

// Where the fid stands in its list, from the feature's first; puts it there when it is new.
uint32_t FidSharder::Position(uint64_t fid, std::vector<uint64_t>* list, uint64_t before) {
  const size_t mask = seen_.size() - 1;
  size_t at = (fid * 0x9e3779b97f4a7c15u) >> 32 & mask;
  while (seen_[at].generation == generation_) {
    if (seen_[at].fid == fid) return seen_[at].position;
    at = (at + 1) & mask;
  }
  const uint32_t position = static_cast<uint32_t>(list->size() - before);
  seen_[at] = {fid, generation_, position};
  list->push_back(fid);
  if (++seen_count_ * 4 > seen_.size() * 3) Grow();
  return position;
}

void FidSharder::ShardFeatureFids(size_t index) {
  const Feature& f = features_[index];
  const uint32_t servers = config_.ps_num;
  const size_t first = size_t{f.table} * servers;
  for (uint32_t s = 0; s < servers; ++s) {
    before_rows_[s] = out_.fids[first + s].size();
    before_floats_[s] = static_cast<uint64_t>(out_.emb_size[first + s]);
  }
  out_.nfl_offset.push_back(static_cast<uint32_t>(out_.feature_offset.size()) | (f.shared ? kShared : 0));
  size_t offset = out_.fid_offset.size();
  for (uint32_t length : f.lengths) {
    out_.feature_offset.push_back(static_cast<int32_t>(offset));
    offset += length;
  }
  if (offset > INT32_MAX) throw BadRecord("a batch has more than 2147483647 fids");
  if (++generation_ == 0) {
    std::fill(seen_.begin(), seen_.end(), Slot{});
    generation_ = 1;
  }
  seen_count_ = 0;
  out_.fid_offset.reserve(offset);
  const bool mask = (servers & (servers - 1)) == 0;
  for (uint64_t fid : f.fids) {
    const uint32_t server = static_cast<uint32_t>(mask ? fid & (servers - 1) : fid % servers);
    std::vector<uint64_t>& list = out_.fids[first + server];
    uint64_t position;
    if (config_.unique) {
      position = Position(fid, &list, before_rows_[server]);
    } else {
      position = list.size() - before_rows_[server];
      list.push_back(fid);
    }
    out_.fid_offset.push_back(OffsetOf(f, server, position));
  }
  for (uint32_t s = 0; s < servers; ++s) {
    const size_t rows = out_.fids[first + s].size();
    const uint64_t floats = before_floats_[s] + (rows - before_rows_[s]) * f.width;
    if (floats > INT32_MAX) throw BadRecord("the embeddings of a batch have more than 2147483647 floats in table " + tables_[f.table]);
    out_.emb_size[first + s] = static_cast<int32_t>(floats);
    out_.row_splits[first + s].push_back(static_cast<int64_t>(rows));
  }
}

const ShardedFids& FidSharder::Finish() {
  const size_t lists = tables_.size() * config_.ps_num;
  out_.fids.resize(lists);
  out_.row_splits.resize(lists);
  for (size_t i = 0; i < lists; ++i) out_.fids[i].clear(), out_.row_splits[i].assign(1, 0);
  out_.emb_size.assign(lists, 0);
  out_.fid_offset.clear();
  out_.feature_offset.clear();
  out_.nfl_offset.clear();
  out_.batch_size = static_cast<int32_t>(rows_);
  before_rows_.resize(config_.ps_num);
  before_floats_.resize(config_.ps_num);
  try {
    for (size_t i = 0; i < features_.size(); ++i) ShardFeatureFids(i);
  } catch (const BadRecord&) {
    Clear();
    throw;
  }
  out_.feature_offset.push_back(static_cast<int32_t>(out_.fid_offset.size()));
  out_.nfl_offset.push_back(static_cast<uint32_t>(out_.feature_offset.size()));
  Clear();
  return out_;
}

}  // namespace monolith
