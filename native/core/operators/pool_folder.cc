#include "core/operators/pool_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/operators/item_pool_file.h"

namespace monolith {
namespace {

[[noreturn]] void Fail(ErrorCode code, const std::string& path, const char* what) {
  throw Error(code, path + ": " + what + ": " + std::strerror(errno));
}

void MakeFolder(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (mkdir(part.c_str(), 0777) != 0 && errno != EEXIST) Fail(ErrorCode::kCannotCreate, part, "cannot create the folder");
    if (slash == std::string::npos) return;
  }
}

PoolPlace Checked(PoolPlace place) {
  if (place.folder.empty()) throw Error(ErrorCode::kUsage, "the folder of the item pool has no name");
  if (place.shards == 0) throw Error(ErrorCode::kUsage, "an item pool has at least one shard");
  if (place.index >= place.workers)
    throw Error(ErrorCode::kUsage, "worker " + std::to_string(place.index) + " of " + std::to_string(place.workers) +
                                       ": workers are numbered from 0");
  return place;
}

}  // namespace

PoolFolder::PoolFolder(PoolPlace place) : place_(Checked(std::move(place))) {
  MakeFolder(place_.folder);
  lock_path_ = place_.folder + "/.item_pool_" + std::to_string(place_.index) + "_" + std::to_string(place_.workers) + ".lock";
  lock_ = open(lock_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) Fail(ErrorCode::kCannotCreate, lock_path_, "cannot create");
  try {
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0)
      throw Error(ErrorCode::kTryAgain, place_.folder + ": another run keeps the item pool of worker " +
                                            std::to_string(place_.index) + " here; give each run a folder or a worker index of its own");
    FinishRenames();
  } catch (...) {
    close(lock_);
    throw;
  }
}

PoolFolder::~PoolFolder() { close(lock_); }

std::string PoolFolder::PathOf(uint32_t shard, uint64_t step) const {
  return place_.folder + "/" + PoolFileName(step, place_.index, shard, place_.workers);
}

std::vector<std::string> PoolFolder::Restore(ItemPool* pool) const {
  const std::vector<PoolFile> files = ListPoolFiles(place_.folder);
  std::vector<std::string> read;
  for (uint32_t shard = 0; shard < place_.shards; ++shard) {
    const PoolFile* file = ChoosePoolFile(files, place_, shard);
    if (!file) continue;
    for (const PoolFile& other : files)
      if (other.stepped == file->stepped && other.step == file->step && other.index == file->index &&
          other.workers == file->workers && other.shard >= place_.shards)
        throw Error(ErrorCode::kUsage, place_.folder + "/" + other.name + ": the item pool was saved in more than " +
                                           std::to_string(place_.shards) + " shards; give --pool-shards as when it was saved");
    ReadPoolFile(place_.folder + "/" + file->name, [pool](const StoredItem& item) {
      pool->Push(item.channel, item.id, item.fids, item.columns, item.origin_count, item.sample_count);
    });
    read.push_back(file->name);
  }
  return read;
}

void PoolFolder::Save(const ItemPool& pool) {
  for (uint32_t shard = 0; shard < place_.shards; ++shard)
    WritePoolFile(PathOf(shard, place_.step) + "_tmp", pool, shard, place_.shards);
  if (place_.shards > 1) WriteJournal(std::to_string(place_.step) + " " + std::to_string(place_.shards) + "\n");
  Rename(place_.step, place_.shards, false);
  SyncFolder();
  if (place_.shards > 1) WriteJournal("");
}

// `again`: some may have been renamed already.
void PoolFolder::Rename(uint64_t step, uint32_t shards, bool again) {
  for (uint32_t shard = 0; shard < shards; ++shard) {
    const std::string path = PathOf(shard, step);
    if (rename((path + "_tmp").c_str(), path.c_str()) != 0 && !(again && errno == ENOENT))
      Fail(ErrorCode::kCannotCreate, path, "cannot rename into place");
  }
}

// A journal that does not end with its line end was cut off in the writing, before the first rename.
void PoolFolder::FinishRenames() {
  char text[64] = {};
  const ssize_t n = pread(lock_, text, sizeof text - 1, 0);
  if (n < 0) Fail(ErrorCode::kIo, lock_path_, "cannot read");
  if (n == 0) return;
  unsigned long long step = 0;
  unsigned shards = 0;
  char end = 0;
  if (std::sscanf(text, "%20llu %10u%c", &step, &shards, &end) == 3 && end == '\n') Rename(step, shards, true);
  SyncFolder();
  WriteJournal("");
}

void PoolFolder::WriteJournal(const std::string& text) {
  if (ftruncate(lock_, 0) != 0) Fail(ErrorCode::kIo, lock_path_, "cannot write");
  if (lseek(lock_, 0, SEEK_SET) < 0) Fail(ErrorCode::kIo, lock_path_, "cannot write");
  WriteAll(lock_, text.data(), text.size(), lock_path_);
  if (fsync(lock_) != 0) Fail(ErrorCode::kIo, lock_path_, "cannot sync");
  if (!text.empty()) SyncFolder();
}

void PoolFolder::SyncFolder() const {
  const int fd = open(place_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // may be entered but not listed: the rename stands, only later on disk
  fsync(fd);
  close(fd);
}

}  // namespace monolith
