// Pool files from arbitrary bytes: damage ends in an error, never in a crash; what is read is written and read the same.
//
// The first byte chooses: the rest is a file, or messages of one length byte each, framed here with right checksums.
#include <stdlib.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/error.h"
#include "core/io/tfrecord.h"
#include "core/operators/item_pool_file.h"
#include "core/operators/pool_files.h"

using namespace monolith;

namespace {

using Item = std::tuple<uint64_t, uint64_t, std::string, std::string, uint32_t, uint32_t>;

const std::string& Path() {
  static const std::string* path = [] {
    static char name[] = "/tmp/item_pool_fuzz.XXXXXX";
    return new std::string(std::string(mkdtemp(name)) + "/pool");
  }();
  return *path;
}

// False when the file is damaged; then what came before has been pushed.
bool Read(ItemPool* pool) {
  try {
    ReadPoolFile(Path(), [&](const StoredItem& i) { pool->Push(i.channel, i.id, i.fids, i.columns, i.origin_count, i.sample_count); });
    return true;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData) abort();
    return false;
  }
}

std::vector<Item> Items(const ItemPool& pool) {
  std::vector<Item> items;
  for (const ItemQueue& queue : pool.channels())
    for (size_t i = 0; i < queue.size(); ++i)
      items.emplace_back(queue.channel(), queue[i].id, queue[i].fids(), queue[i].columns(), queue[i].origin_count,
                         queue[i].sample_count);
  return items;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  (void)ParsePoolFileName(rest);
  std::string file;
  if (data[0] & 1) {
    file = rest;
  } else {
    while (!rest.empty()) {
      const size_t n = std::min<size_t>(static_cast<uint8_t>(rest[0]), rest.size() - 1);
      AppendTFRecord(rest.substr(1, n), &file);
      rest.remove_prefix(1 + n);
    }
  }
  std::ofstream(Path(), std::ios::binary).write(file.data(), static_cast<std::streamsize>(file.size()));
  ItemPool pool(0, 1 + data[0] / 8), again(0, 1 + data[0] / 8);
  Read(&pool);
  WritePoolFile(Path(), pool, 0, 1);
  if (!Read(&again) || Items(pool) != Items(again)) abort();
  return 0;
}
