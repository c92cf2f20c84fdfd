// Names of sharded checkpoint files, and how a set of them takes the place of an older one: all or nothing.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace monolith {

// "<basename>-00001-of-00004"
std::string ShardName(const std::string& basename, size_t shard, size_t shards);

// Of `names`, the files of the set `basename`, shard 0 first. Names that are no shard of it (temporary files, other
// tables) are ignored. Throws Error(kNoInput) when there is none, Error(kBadData) when shards are missing or disagree.
std::vector<std::string> ValidShards(const std::string& basename, const std::vector<std::string>& names);

// The same from what is on disk.
std::vector<std::string> FindShards(const std::string& basename);
// False when no file of the set is there, whole or not.
bool HasShards(const std::string& basename);

// New files under temporary names; `Publish` renames them into place.
class FileSet {
 public:
  // `basename` names the journal; its directory is made when it is not there. Finishes what an interrupted Publish of the
  // same basename began and removes the temporary files of interrupted writers.
  explicit FileSet(std::string basename);
  ~FileSet();  // without Publish(): removes the temporary files
  FileSet(const FileSet&) = delete;
  FileSet& operator=(const FileSet&) = delete;

  // The name to write `final` under: "<final>-tmp-<random>". The files must be synced before Publish.
  std::string Temporary(const std::string& final);

  // Renames all files, in the order they were named, and removes older files of the basename that are not among them: shards,
  // metadata, deltas, the manifest. When there are older ones, a journal is written first, so that an interruption is finished
  // by the next reader or writer.
  void Publish();

 private:
  std::string basename_;
  uint64_t random_;
  std::vector<std::pair<std::string, std::string>> files_;  // temporary, final
};

// Finishes an interrupted Publish of `basename`, if there is one. Readers call it first.
void FinishPublish(const std::string& basename);

}  // namespace monolith
