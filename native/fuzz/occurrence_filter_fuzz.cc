// Files of occurrence filters and configs of thresholds from arbitrary bytes: any damage ends in an error, and the filter is then
// as it was.
//
// The first byte chooses what the rest is: a whole file, records (framed here, so that the checksums do not stop everything), cells
// behind metadata that fits, or a config.
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "core/base/error.h"
#include "core/tables/checkpoint_files.h"
#include "core/tables/filters/filter_file.h"
#include "core/tables/filters/sliding_filter.h"
#include "core/tables/filters/slot_thresholds.h"
#include "core/tables/record_file.h"

using namespace monolith;

namespace {

constexpr int kSplits = 5;

// A folder with the files of a whole filter; the fuzzed bytes take the place of the last.
const std::string& Base() {
  static const std::string* base = [] {
    static char name[] = "/tmp/occurrence_filter_fuzz.XXXXXX";
    auto* made = new std::string(std::string(mkdtemp(name)) + "/f");
    SlidingFilter(300, kSplits).Save(*made);
    return made;
  }();
  return *base;
}

void Frame(const std::string& path, std::string_view first, std::string_view bytes) {
  unlink(path.c_str());
  RecordFileWriter w(path, Container::kPlain);
  if (!first.empty()) w.Write(first);
  while (!bytes.empty()) {  // one length byte before each record
    const size_t n = std::min<size_t>(static_cast<unsigned char>(bytes[0]), bytes.size() - 1);
    w.Write(bytes.substr(1, n));
    bytes.remove_prefix(1 + n);
  }
  w.Finish();
}

// The metadata of a split with few cells.
std::string Meta() {
  SplitMeta meta;
  meta.total_size = 2;
  meta.fill_rate = 1.2;
  meta.sliding = {kSplits, SlidingFilter::kForwardStep, kSplits - 2, SlidingFilter::kMaxStep, 0, 0, 0};
  std::string out;
  EncodeSplitMeta(meta, &out);
  return out;
}

void Try(uint8_t what, std::string_view bytes) {
  static SlidingFilter* filter = new SlidingFilter(300, kSplits);
  static const std::string meta = Meta();
  const std::string path = ShardName(Base(), kSplits - 1, kSplits);
  switch (what % 4) {
    case 0: std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size())); break;
    case 1: Frame(path, "", bytes); break;
    case 2: Frame(path, meta, bytes); break;
    default: SlotThresholds::Decode(bytes); return;
  }
  filter->Restore(Base());
  // What was taken over can be used: searches stay inside the cells.
  for (int64_t id = 0; id < 64; ++id) filter->Get(id << 17);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    Try(data[0], {reinterpret_cast<const char*>(data + 1), size - 1});
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData && e.code() != ErrorCode::kConfig) abort();
  }
  return 0;
}
