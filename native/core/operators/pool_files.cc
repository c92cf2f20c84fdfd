#include "core/operators/pool_files.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <tuple>

#include "core/base/error.h"

namespace monolith {
namespace {

constexpr std::string_view kStepped = "model.ckpt-", kMiddle = "_item_pool_", kOld = "item_pool_";

bool TakePrefix(std::string_view* s, std::string_view prefix) {
  if (s->substr(0, prefix.size()) != prefix) return false;
  s->remove_prefix(prefix.size());
  return true;
}

// A decimal number without sign or leading zeros.
template <class T>
bool TakeNumber(std::string_view* s, T* value) {
  size_t n = 0;
  uint64_t v = 0;
  while (n < s->size() && (*s)[n] >= '0' && (*s)[n] <= '9') {
    if (__builtin_mul_overflow(v, uint64_t{10}, &v) || __builtin_add_overflow(v, uint64_t((*s)[n] - '0'), &v)) return false;
    ++n;
  }
  if (n == 0 || (n > 1 && (*s)[0] == '0') || v > static_cast<T>(-1)) return false;
  *value = static_cast<T>(v);
  s->remove_prefix(n);
  return true;
}

}  // namespace

std::string PoolFileName(uint64_t step, uint32_t index, uint32_t shard, uint32_t workers) {
  return std::string(kStepped) + std::to_string(step) + std::string(kMiddle) + std::to_string(index) + "_" +
         std::to_string(shard) + "_" + std::to_string(workers);
}

std::optional<PoolFile> ParsePoolFileName(std::string_view name) {
  PoolFile file;
  file.name = std::string(name);
  file.stepped = TakePrefix(&name, kStepped);
  if (file.stepped ? !TakeNumber(&name, &file.step) || !TakePrefix(&name, kMiddle) : !TakePrefix(&name, kOld)) return {};
  if (!TakeNumber(&name, &file.index) || !TakePrefix(&name, "_")) return {};
  if (!TakeNumber(&name, &file.shard) || !TakePrefix(&name, "_")) return {};
  if (!TakeNumber(&name, &file.workers) || !name.empty() || file.workers == 0) return {};
  return file;
}

std::vector<PoolFile> ListPoolFiles(const std::string& folder) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), &closedir);
  if (!dir) {
    if (errno == ENOENT) return {};
    throw Error(ErrorCode::kNoInput, folder + ": cannot list: " + std::strerror(errno));
  }
  std::vector<PoolFile> files;
  errno = 0;
  while (const dirent* entry = readdir(dir.get())) {
    std::optional<PoolFile> file = ParsePoolFileName(entry->d_name);
    if (!file) continue;
    struct stat st;
    if (stat((folder + "/" + file->name).c_str(), &st) != 0) continue;
    file->changed = int64_t{st.st_mtim.tv_sec} * 1'000'000'000 + st.st_mtim.tv_nsec;
    files.push_back(std::move(*file));
  }
  if (errno != 0) throw Error(ErrorCode::kIo, folder + ": cannot list: " + std::strerror(errno));
  std::sort(files.begin(), files.end(), [](const PoolFile& a, const PoolFile& b) { return a.name < b.name; });
  return files;
}

const PoolFile* ChoosePoolFile(const std::vector<PoolFile>& files, const PoolPlace& place, uint32_t shard) {
  std::set<uint32_t> at_step;  // worker counts
  for (const PoolFile& file : files)
    if (file.stepped && file.step == place.step) at_step.insert(file.workers);
  const auto rank = [&](const PoolFile& file) {
    return std::make_tuple(file.stepped, file.step, file.changed, file.workers == place.workers);
  };
  const PoolFile* best = nullptr;
  for (const PoolFile& file : files) {
    if (file.shard != shard || file.index != place.index % file.workers) continue;
    if (file.stepped && (file.step > place.step || (!at_step.empty() && !at_step.count(file.workers)))) continue;
    if (!best || rank(file) > rank(*best)) best = &file;
  }
  return best;
}

}  // namespace monolith
