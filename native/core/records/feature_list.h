// The feature list, `feature_list.conf` (spec 10, section 6): which features there are, their slots and how they are made.
//
// One entry a line, `key=value` pairs separated by "; "; blank lines and lines beginning with # are passed over. A value
// may hold commas and blanks but no "="; keys that are not known are passed over. Lines beginning with `column_name` name
// raw columns, with `feed` feeds, with `cache` caches; all else are features. The last of two entries of one name counts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace monolith {

struct FeatureEntry {
  std::string feature_name;
  std::vector<std::string> depend;
  std::optional<std::string> method;
  std::optional<int64_t> slot;
  std::vector<std::string> args;
  std::optional<int64_t> feature_version;  // unset or 1: v1 fids; 2: v2 fids
  bool shared = false;                     // one value for all rows of a request
  std::vector<std::string> cache_keys;
  bool need_raw = false;
  std::optional<int64_t> feature_id;
  std::vector<bool> input_optional;
  std::vector<std::string> feature_group;
  size_t line = 0;  // from 1

  bool v1() const { return !feature_version || *feature_version == 1; }
};

struct FeedEntry {
  std::string feed_name;
  bool shared = false;
  std::optional<int64_t> feature_id;
};

struct CacheEntry {
  std::optional<std::string> cache_column, cache_name, cache_type, cache_key_class;
  std::optional<int64_t> capacity, timeout;
  std::string key;
};

struct FeatureList {
  std::vector<std::string> column_names;  // in order, each once
  std::vector<FeatureEntry> features;     // in file order
  std::vector<FeedEntry> feeds;
  std::vector<CacheEntry> caches;
};

// Throws Error(kConfig): `file`, line, column and what is wrong, then the line and a caret.
FeatureList ParseFeatureList(std::string_view text, const std::string& file);

}  // namespace monolith
