// What the table commands read, from arbitrary bytes: an entry, or the files of a set (framed here or not), scanned to the end
// with damage on the way. A scan always ends, and every row there is becomes one line.
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "core/tables/table_scan.h"

using namespace monolith;

namespace {

const std::string& Folder() {
  static const std::string* folder = [] {
    static char name[] = "/tmp/table_tools_fuzz.XXXXXX";
    return new std::string(mkdtemp(name));
  }();
  return *folder;
}

void Spill(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void Frame(const std::string& path, Container container, std::string_view bytes) {
  unlink(path.c_str());
  RecordFileWriter w(path, container);
  while (!bytes.empty()) {  // one length byte before each record
    const size_t n = std::min<size_t>(static_cast<unsigned char>(bytes[0]), bytes.size() - 1);
    w.Write(bytes.substr(1, n));
    bytes.remove_prefix(1 + n);
  }
  w.Finish();
}

void Scan(const std::string& basename, size_t limit) {
  try {
    TableScan scan(basename, 1700000000, true);
    size_t steps = 0;
    while (scan.Step(16))
      if (++steps > limit) abort();
    scan.Summaries();
  } catch (const Error&) {
  }
}

void Row(std::string_view bytes) {
  DumpedEntry entry;
  std::string line;
  try {
    entry.Parse(bytes);
    ShapeOf(entry).Describe();
  } catch (const Error&) {
    return;
  }
  AppendJsonLine(std::string(bytes.substr(0, 20)), entry, &line);
  if (std::count(line.begin(), line.end(), '\n') != 1 || line.back() != '\n') abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t middle = std::min<size_t>(data[1], all.size());
  const std::string one = Folder() + "/one", multi = Folder() + "/multi", shard = "-00000-of-00001";
  switch (data[0] % 5) {
    case 0: Row(all); break;
    case 1: Spill(one + shard, all), Scan(one, size); break;
    case 2: Frame(one + shard, Container::kPlain, all), Scan(one, size); break;
    case 3:
      Frame(multi + ".meta" + shard, Container::kPlain, all.substr(0, middle));
      Frame(multi + shard, Container::kSnappyBlocks, all.substr(middle));
      Scan(multi, size);
      break;
    case 4:
      Frame(multi + ".meta" + shard, Container::kPlain, all.substr(0, middle));
      Spill(multi + shard, all.substr(middle));
      Scan(multi, size);
      break;
  }
  return 0;
}
