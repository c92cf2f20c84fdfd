#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

#include "core/base/error.h"
#include "core/tables/checkpoint.h"
#include "core/tables/checkpoint_files.h"
#include "core/tables/checkpoint_set.h"
#include "core/tables/key_set.h"
#include "core/tables/parallel.h"
#include "core/tables/row_loader.h"

namespace monolith {
namespace {

// What a record's content throws becomes an error with file and offset.
template <class Body>
void AtRecord(const ShardReader& reader, Body body) {
  try {
    body();
  } catch (const Error& e) {
    throw Error(e.code(), reader.Where() + ": " + e.what());
  }
}

// The checkpoints that a basename stands for, the newest first, each looked over.
std::vector<CheckpointSet> OpenChain(const std::string& basename) {
  std::vector<CheckpointSet> sets;
  for (ChainLink& link : ReadChain(basename, FinishPublish)) sets.push_back(CheckpointSet::Open(link.basename, std::move(link.manifest)));
  std::reverse(sets.begin(), sets.end());
  return sets;
}

class Restorer {
 public:
  Restorer(std::vector<EmbeddingTable*> tables, const RestoreOptions& options) : tables_(std::move(tables)), options_(options) {
    if (options_.parts == 0 || options_.part >= options_.parts)
      throw Error(ErrorCode::kUsage, "there is no part " + std::to_string(options_.part) + " of " + std::to_string(options_.parts));
    found_.resize(tables_.size());
  }

  // Of one set, where the tables of its sections go; unknown ones go nowhere.
  void Match(const std::vector<CheckpointSet>& chain) {
    std::vector<std::string> names;
    for (const CheckpointSet& set : chain)
      for (size_t k = 0; k < set.shards(); ++k)
        for (const SectionInfo& s : set.Sections(k))
          if (std::find(names.begin(), names.end(), s.table) == names.end()) names.push_back(s.table);
    std::map<std::string, size_t> targets;
    for (size_t t = 0; t < tables_.size(); ++t) MatchTable(t, names, &targets);
    for (const std::string& name : names)
      if (!targets.count(name)) Unknown(name, chain[0].basename());
    targets_.push_back(std::move(targets));
  }

  // A single table takes what there is, whatever its name.
  void MatchSingle(const std::string& section) {
    targets_.push_back({{section, 0}});
    found_[0] = true;
  }

  RestoreReport Run(const std::vector<std::vector<CheckpointSet>>& chains) {
    try {
      MakeRoom(chains);
      for (size_t i = 0; i < chains.size(); ++i) LoadChain(chains[i], targets_[i]);
    } catch (...) {
      Clear();
      throw;
    }
    for (size_t t = 0; t < tables_.size(); ++t)
      if (!found_[t]) report_.missing_tables.push_back(tables_[t]->config().name);
    return report_;
  }

 private:
  void MatchTable(size_t t, const std::vector<std::string>& names, std::map<std::string, size_t>* targets) {
    const std::string& own = tables_[t]->config().name;
    std::vector<std::string> wanted = {own};
    if (const auto old = options_.old_names.find(own); old != options_.old_names.end())
      wanted.insert(wanted.end(), old->second.begin(), old->second.end());
    for (const std::string& name : wanted) {
      if (std::find(names.begin(), names.end(), name) == names.end()) continue;
      const auto [other, fresh] = targets->emplace(name, t);
      if (!fresh)
        throw Error(ErrorCode::kConfig, "table '" + name + "' of the checkpoint is asked for by two tables, '" +
                                            tables_[other->second]->config().name + "' and '" + own + "'");
      found_[t] = true;
      return;
    }
  }

  void Unknown(const std::string& name, const std::string& basename) {
    if (options_.refuse_unknown_tables)
      throw Error(ErrorCode::kConfig, basename + ": the checkpoint has a table '" + name +
                                          "' that is not here; it can be left out");
    auto& unknown = report_.unknown_tables;
    if (std::find(unknown.begin(), unknown.end(), name) == unknown.end()) unknown.push_back(name);
  }

  void Clear() {
    for (EmbeddingTable* t : tables_) t->Clear();
  }

  // Rows come in the order of the index they were in. A table that grew on the way would have them all in one place.
  void MakeRoom(const std::vector<std::vector<CheckpointSet>>& chains) {
    std::vector<uint64_t> rows(tables_.size());
    for (size_t i = 0; i < chains.size(); ++i) {
      std::vector<uint64_t> most(tables_.size());
      for (const CheckpointSet& set : chains[i])
        for (const auto& [table, n] : set.RowCounts())
          if (const auto target = targets_[i].find(table); target != targets_[i].end()) most[target->second] = std::max(most[target->second], n);
      for (size_t t = 0; t < rows.size(); ++t) rows[t] += most[t];
    }
    for (size_t t = 0; t < rows.size(); ++t) tables_[t]->Clear(rows[t] / options_.parts);
  }

  // The newest first: what it has of a key, or that the key is gone, is what counts.
  void LoadChain(const std::vector<CheckpointSet>& chain, const std::map<std::string, size_t>& targets) {
    std::vector<KeySet> newer(tables_.size());
    for (size_t i = 0; i < chain.size(); ++i) {
      const bool older_follow = i + 1 < chain.size();
      std::vector<std::vector<int64_t>> keys(tables_.size());
      InParallel(chain[i].shards(), [&](size_t k) { LoadShard(chain[i], k, targets, i ? &newer : nullptr, older_follow ? &keys : nullptr); });
      for (size_t t = 0; t < keys.size(); ++t)
        for (const int64_t key : keys[t]) newer[t].Insert(key);
    }
  }

  void LoadShard(const CheckpointSet& set, size_t shard, const std::map<std::string, size_t>& targets, const std::vector<KeySet>* newer,
                 std::vector<std::vector<int64_t>>* keys) {
    const std::unique_ptr<ShardReader> reader = set.OpenShard(shard);
    std::string_view message;
    std::vector<int64_t> erased;
    while (const SectionInfo* section = reader->NextSection()) {
      const auto target = targets.find(section->table);
      if (target == targets.end()) continue;
      const size_t t = target->second;
      RowLoader loader(tables_[t], options_, newer ? &(*newer)[t] : nullptr, keys != nullptr, set.shards() < Cores());
      while (reader->NextRow(&message)) AtRecord(*reader, [&] { loader.Add(message); });
      loader.Finish();
      std::vector<int64_t> gone;
      while (reader->NextErased(&erased))
        if (keys) gone.insert(gone.end(), erased.begin(), erased.end());
      std::lock_guard<std::mutex> lock(mutex_);
      report_.rows += loader.report().rows;
      report_.adapted_rows += loader.report().adapted_rows;
      report_.other_parts += loader.report().other_parts;
      if (!keys) continue;
      for (const auto* some : {&loader.keys(), &std::as_const(gone)}) (*keys)[t].insert((*keys)[t].end(), some->begin(), some->end());
    }
  }

  std::vector<EmbeddingTable*> tables_;
  const RestoreOptions& options_;
  std::vector<std::map<std::string, size_t>> targets_;  // of each set: table of the checkpoint -> table here
  std::vector<bool> found_;
  std::mutex mutex_;
  RestoreReport report_;
};

// The first of the names that has files: its own, then those of old.
std::string FindSingle(const std::string& basename, const EmbeddingTable& table, const RestoreOptions& options) {
  FinishPublish(basename);
  const auto old = options.old_names.find(table.config().name);
  if (HasShards(basename) || old == options.old_names.end()) return basename;
  const std::string folder = basename.substr(0, basename.rfind('/') + 1);
  for (const std::string& name : old->second)
    if (HasShards(folder + name)) return folder + name;
  return basename;
}

}  // namespace

RestoreOptions RestoreModes(const std::vector<std::string>& names) {
  RestoreOptions o;
  for (const std::string& name : names) {
    if (name == "pad") o.pad = true;
    else if (name == "truncate") o.truncate = true;
    else if (name == "reset-state") o.reset_state = true;
    else if (name == "known-tables") o.refuse_unknown_tables = true;
    else throw Error(ErrorCode::kUsage, "there is no restore mode '" + name + "'; there are pad, truncate, reset-state and known-tables");
  }
  return o;
}

RestoreReport RestoreTable(EmbeddingTable* table, const std::string& own, const RestoreOptions& options) {
  const std::string basename = FindSingle(own, *table, options);
  Restorer restorer({table}, options);
  std::vector<std::vector<CheckpointSet>> chains;
  chains.push_back(OpenChain(basename));
  const CheckpointSet& set = chains[0][0];
  if (set.form() != CheckpointSet::Form::kSingle)
    throw Error(ErrorCode::kBadData, set.path(0) + ": at byte 0: this is a checkpoint of several tables, not of one");
  restorer.MatchSingle(set.Sections(0)[0].table);
  return restorer.Run(chains);
}

RestoreReport RestoreTables(MultiTable* tables, const std::vector<std::string>& basenames, const RestoreOptions& options) {
  tables->EndChain();
  std::vector<EmbeddingTable*> all;
  for (size_t i = 0; i < tables->num_tables(); ++i) all.push_back(&tables->table(i));
  Restorer restorer(std::move(all), options);
  std::vector<std::vector<CheckpointSet>> chains;
  for (const std::string& basename : basenames) {
    chains.push_back(OpenChain(basename));
    const CheckpointSet& newest = chains.back()[0];
    if (newest.form() == CheckpointSet::Form::kSingle)
      throw Error(ErrorCode::kBadData, ShardName(basename + ".meta", 0, newest.shards()) + " is missing: the checkpoint is not whole, or of a single table");
    restorer.Match(chains.back());
  }
  return restorer.Run(chains);
}

void MultiTable::Restore(const std::string& basename) { RestoreTables(this, {basename}); }

std::map<std::string, uint64_t> FeatureCounts(const std::string& basename) {
  const CheckpointSet set = CheckpointSet::Open(basename, ReadManifest(basename));
  if (set.form() != CheckpointSet::Form::kMulti)
    throw Error(ErrorCode::kNoInput, ShardName(basename + ".meta", 0, set.shards()) + " is not there: only a whole set of several tables has counts");
  std::map<std::string, uint64_t> counts;
  for (size_t k = 0; k < set.shards(); ++k)
    for (const SectionInfo& s : set.Sections(k)) counts[s.table] += s.rows;
  return counts;
}

std::vector<std::string> CheckpointChain(const std::string& basename) {
  std::vector<std::string> names;
  for (const ChainLink& link : ReadChain(basename, [](const std::string&) {})) names.push_back(link.basename);
  return names;
}

}  // namespace monolith
