// A feature list: what is read has names, and a mistake is one of the configuration that says where it stands.
#include <cstdlib>

#include "core/base/error.h"
#include "core/records/feature_list.h"

using namespace monolith;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const FeatureList list = ParseFeatureList(text, "file");
    for (const FeatureEntry& f : list.features)
      if (f.feature_name.empty() || f.line == 0 || (f.slot && (*f.slot < 0 || *f.slot > 32767))) std::abort();
    for (const FeedEntry& f : list.feeds)
      if (f.feed_name.empty()) std::abort();
    for (const CacheEntry& c : list.caches)
      if (c.key.empty()) std::abort();
  } catch (const Error& e) {
    const std::string what = e.what();
    if (e.code() != ErrorCode::kConfig || what.rfind("file:", 0) != 0 || what.find("\n  ") == std::string::npos || what.back() != '^')
      std::abort();
  }
  return 0;
}
