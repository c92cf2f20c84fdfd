#include "core/tables/checkpoint_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/tables/checkpoint_manifest.h"
#include "core/tables/record_file.h"

namespace monolith {
namespace {

struct ShardNumber {
  size_t shard, shards;
};

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// The shard number when `name` is "<basename>-ddddd-of-ddddd".
std::optional<ShardNumber> ParseShard(const std::string& basename, const std::string& name) {
  static constexpr char kPattern[] = "-ddddd-of-ddddd";
  if (name.size() != basename.size() + sizeof kPattern - 1 || name.compare(0, basename.size(), basename) != 0) return {};
  const char* rest = name.data() + basename.size();
  for (size_t i = 0; i + 1 < sizeof kPattern; ++i)
    if (kPattern[i] == 'd' ? rest[i] < '0' || rest[i] > '9' : rest[i] != kPattern[i]) return {};
  return ShardNumber{std::stoul(std::string(rest + 1, 5)), std::stoul(std::string(rest + 10, 5))};
}

// "<basename>.delta.ddddd-of-ddddd"
bool IsDelta(const std::string& basename, const std::string& name) {
  const std::string prefix = basename + ".delta.";
  return name.size() > prefix.size() && name.compare(0, prefix.size(), prefix) == 0 &&
         ParseShard(basename, basename + "-" + name.substr(prefix.size())).has_value();
}

// Whether a file is part of the checkpoint `basename`, of whichever form.
bool Belongs(const std::string& basename, const std::string& name) {
  return ParseShard(basename, name) || ParseShard(basename + ".meta", name) || IsDelta(basename, name) || name == ManifestName(basename);
}

std::vector<std::string> NamesBeside(const std::string& basename) {
  const std::string dir = DirectoryOf(basename);
  const std::string prefix = basename.find('/') == std::string::npos ? "" : dir == "/" ? "/" : dir + "/";
  std::vector<std::string> names;
  DIR* d = opendir(dir.c_str());
  if (!d) return names;
  while (const dirent* entry = readdir(d)) names.push_back(prefix + entry->d_name);
  closedir(d);
  return names;
}

void SyncDirectory(const std::string& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw Error(ErrorCode::kIo, dir + ": cannot open to sync: " + std::strerror(errno));
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  if (result != 0 && error != EINVAL && error != ENOTSUP)
    throw Error(ErrorCode::kIo, dir + ": cannot sync: " + std::strerror(error));
}

void MakeDirectories(const std::string& dir) {
  if (dir.empty() || dir == "." || dir == "/") return;
  struct stat st;
  if (stat(dir.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return;
  MakeDirectories(DirectoryOf(dir));
  if (mkdir(dir.c_str(), 0777) != 0 && errno != EEXIST)
    throw Error(ErrorCode::kCannotCreate, dir + ": cannot create the directory: " + std::strerror(errno));
  SyncDirectory(DirectoryOf(dir));
}

void Rename(const std::string& from, const std::string& to, bool may_be_done) {
  if (std::rename(from.c_str(), to.c_str()) == 0 || (may_be_done && errno == ENOENT)) return;
  throw Error(ErrorCode::kIo, to + ": cannot rename into place: " + std::strerror(errno));
}

// Journals name files without their directory: it may be reached by another path when they are read.
std::string BareName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string JournalName(const std::string& basename) { return basename + ".publish"; }

}  // namespace

std::string ShardName(const std::string& basename, size_t shard, size_t shards) {
  char suffix[64];
  std::snprintf(suffix, sizeof suffix, "-%05zu-of-%05zu", shard, shards);
  return basename + suffix;
}

std::vector<std::string> ValidShards(const std::string& basename, const std::vector<std::string>& names) {
  std::vector<std::string> shards;
  std::string first;
  for (const std::string& name : names) {
    const auto number = ParseShard(basename, name);
    if (!number) continue;
    if (shards.empty()) shards.resize(number->shards), first = name;
    if (shards.size() != number->shards)
      throw Error(ErrorCode::kBadData, basename + ": " + name + " and " + first +
                                           " are of different sets; remove the files of the one that is not wanted");
    if (number->shard >= number->shards) throw Error(ErrorCode::kBadData, name + ": there is no such shard in a set of " + std::to_string(number->shards));
    shards[number->shard] = name;
  }
  if (shards.empty()) throw Error(ErrorCode::kNoInput, basename + ": there are no checkpoint files " + ShardName(basename, 0, 1) + " or alike");
  for (size_t i = 0; i < shards.size(); ++i)
    if (shards[i].empty())
      throw Error(ErrorCode::kBadData, ShardName(basename, i, shards.size()) + " is missing: the checkpoint is not whole");
  return shards;
}

std::vector<std::string> FindShards(const std::string& basename) { return ValidShards(basename, NamesBeside(basename)); }

bool HasShards(const std::string& basename) {
  const auto names = NamesBeside(basename);
  return std::any_of(names.begin(), names.end(), [&](const std::string& n) { return ParseShard(basename, n).has_value(); });
}

FileSet::FileSet(std::string basename) : basename_(std::move(basename)), random_(RandomSeed()) {
  MakeDirectories(DirectoryOf(basename_));
  FinishPublish(basename_);
  for (const std::string& name : NamesBeside(basename_)) {
    const size_t tmp = name.rfind("-tmp-");
    if (tmp == std::string::npos) continue;
    const std::string final = name.substr(0, tmp);
    if (Belongs(basename_, final) || final == JournalName(basename_)) unlink(name.c_str());
  }
}

FileSet::~FileSet() {
  for (const auto& [temporary, final] : files_) unlink(temporary.c_str());
}

std::string FileSet::Temporary(const std::string& final) {
  files_.emplace_back(final + "-tmp-" + std::to_string(random_), final);
  return files_.back().first;
}

void FileSet::Publish() {
  std::vector<std::string> stale;
  bool replaces = false;
  for (const std::string& name : NamesBeside(basename_)) {
    if (!Belongs(basename_, name)) continue;
    replaces = true;
    if (std::none_of(files_.begin(), files_.end(), [&](const auto& f) { return f.second == name; })) stale.push_back(name);
  }
  const std::string dir = DirectoryOf(basename_);
  if (replaces) {
    const std::string journal = JournalName(basename_), temporary = journal + "-tmp-" + std::to_string(random_);
    RecordFileWriter w(temporary, Container::kPlain);
    for (const auto& [from, to] : files_) {
      w.Write("r" + BareName(from));
      w.Write(BareName(to));
    }
    for (const std::string& name : stale) w.Write("d" + BareName(name));
    w.Finish();
    w.Sync();
    Rename(temporary, journal, false);
    SyncDirectory(dir);
    files_.clear();  // from here on they belong to the journal
    FinishPublish(basename_);
    return;
  }
  for (const auto& [from, to] : files_) Rename(from, to, false);
  files_.clear();
  SyncDirectory(dir);
}

void FinishPublish(const std::string& basename) {
  const std::string journal = JournalName(basename);
  struct stat st;
  if (stat(journal.c_str(), &st) != 0) return;
  {
    const std::string dir = journal.substr(0, journal.rfind('/') + 1);
    RecordFileReader reader(journal, Container::kPlain);
    std::string_view payload;
    while (reader.Next(&payload)) {
      const std::string name = dir + std::string(payload.substr(payload.empty() ? 0 : 1));
      if (!payload.empty() && payload[0] == 'd') {
        unlink(name.c_str());
      } else if (!payload.empty() && payload[0] == 'r' && reader.Next(&payload)) {
        Rename(name, dir + std::string(payload), true);
      } else {
        throw Error(ErrorCode::kBadData, reader.Where() + ": this is no journal of a checkpoint");
      }
    }
  }
  SyncDirectory(DirectoryOf(basename));
  unlink(journal.c_str());
}

}  // namespace monolith
