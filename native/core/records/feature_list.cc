#include "core/records/feature_list.h"

#include <algorithm>
#include <charconv>

#include "core/base/error.h"

namespace monolith {
namespace {

constexpr std::string_view kBlank = " \t\r\n\v\f";

std::string_view Strip(std::string_view s, std::string_view blanks = kBlank) {
  const size_t begin = s.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return s.substr(s.size());
  return s.substr(begin, s.find_last_not_of(blanks) - begin + 1);
}

bool StartsWith(std::string_view s, std::string_view prefix) { return s.substr(0, prefix.size()) == prefix; }

std::string_view StripRight(std::string_view s, std::string_view chars) {
  const size_t end = s.find_last_not_of(chars);
  return s.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

// Columns a terminal uses for these bytes, near enough: one for each character.
size_t Width(std::string_view bytes) {
  return static_cast<size_t>(std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

struct Pair {
  std::string_view key, value;
};

class Line {
 public:
  Line(std::string_view text, const std::string& file, size_t number) : whole_(text), text_(Strip(text)), file_(file), number_(number) {}

  std::string_view text() const { return text_; }
  size_t number() const { return number_; }

  // `at` is a part of the line.
  [[noreturn]] void Fail(std::string_view at, const std::string& what) const {
    const std::string_view before = whole_.substr(0, static_cast<size_t>(at.data() - whole_.data()));
    std::string shown(StripRight(whole_, kBlank)), caret;
    for (char& c : shown)
      if (static_cast<unsigned char>(c) < ' ') c = ' ';
    caret.assign(Width(before), ' ');
    caret.append(std::max<size_t>(1, Width(at)), '^');
    throw Error(ErrorCode::kConfig, file_ + ":" + std::to_string(number_) + ":" + std::to_string(Width(before) + 1) + ": " + what +
                                        "\n  " + shown + "\n  " + caret);
  }

  // The line cut at every "="; only the space character separates a value from the next key.
  std::vector<Pair> Pairs() const {
    std::vector<Pair> pairs;
    size_t equals = text_.find('=');
    if (equals == std::string_view::npos) Fail(text_, "an entry is made of key=value pairs, and there is no '=' here");
    std::string_view key = Strip(text_.substr(0, equals));
    if (key.empty()) Fail(text_.substr(equals, 1), "there is no key before this '='");
    while (true) {
      const size_t begin = equals + 1;
      equals = text_.find('=', begin);
      if (equals == std::string_view::npos) {
        pairs.push_back({key, Value(text_.substr(begin))});
        return pairs;
      }
      const std::string_view between = text_.substr(begin, equals - begin);
      const size_t blank = between.rfind(' ');
      if (blank == std::string_view::npos)
        Fail(text_.substr(equals, 1), "a second '=' in one value: pairs are separated by a blank, as in 'a=1; b=2'");
      pairs.push_back({key, Value(between.substr(0, blank))});
      key = between.substr(blank + 1);
      if (key.empty()) Fail(text_.substr(equals, 1), "there is no key before this '='; no blanks stand around '='");
    }
  }

 private:
  // Outer blanks, then commas, then semicolons, then blanks: in this order, once.
  static std::string_view Value(std::string_view s) { return Strip(StripRight(StripRight(Strip(s), ","), ";")); }

  const std::string_view whole_, text_;
  const std::string& file_;
  const size_t number_;
};

int64_t Integer(const Line& line, const Pair& pair) {
  std::string_view s = pair.value;
  if (!s.empty() && s[0] == '+') s.remove_prefix(1);
  int64_t v = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (s.empty() || error != std::errc() || end != s.data() + s.size())
    line.Fail(pair.value.empty() ? pair.key : pair.value, std::string(pair.key) + " is an integer");
  return v;
}

bool Truthy(std::string_view s) {
  std::string lower(s);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower == "true" || lower == "yes" || lower == "t" || lower == "y" || lower == "1";
}

std::vector<std::string> Split(std::string_view s) {
  std::vector<std::string> parts;
  while (true) {
    const size_t comma = s.find(',');
    std::string part(Strip(s.substr(0, comma)));
    part.erase(std::remove_if(part.begin(), part.end(), [](char c) { return c == '"' || c == '\''; }), part.end());
    parts.push_back(std::move(part));
    if (comma == std::string_view::npos) return parts;
    s.remove_prefix(comma + 1);
  }
}

int64_t Slot(const Line& line, const Pair& pair) {
  const int64_t slot = Integer(line, pair);
  if (slot < 0 || slot >= 32768) line.Fail(pair.value, "a slot is 0 to 32767");
  return slot;
}

int64_t Version(const Line& line, const Pair& pair) {
  const int64_t version = Integer(line, pair);
  if (version != 1 && version != 2) line.Fail(pair.value, "feature_version is 1 or 2");
  return version;
}

FeatureEntry ReadFeature(const Line& line) {
  FeatureEntry f;
  f.line = line.number();
  for (const Pair& pair : line.Pairs()) {
    const auto [key, value] = pair;
    if (key == "feature_name") f.feature_name = value;
    if (key == "depend") f.depend = Split(value);
    if (key == "method") f.method = value;
    if (key == "slot") f.slot = Slot(line, pair);
    if (key == "args") f.args = Split(value);
    if (key == "feature_version") f.feature_version = Version(line, pair);
    if (key == "shared") f.shared = Truthy(value);
    if (key == "cache_keys") f.cache_keys = Split(value);
    if (key == "need_raw") f.need_raw = Truthy(value);
    if (key == "feature_id") f.feature_id = Integer(line, pair);
    if (key == "feature_group") f.feature_group = Split(value);
    if (key == "input_optional") {
      f.input_optional.clear();
      for (const std::string& word : Split(value)) f.input_optional.push_back(word == "true");
    }
  }
  if (f.feature_name.empty()) line.Fail(line.text(), "an entry of a feature needs feature_name=…");
  return f;
}

FeedEntry ReadFeed(const Line& line) {
  FeedEntry f;
  for (const Pair& pair : line.Pairs()) {
    if (pair.key == "feed_name") f.feed_name = pair.value;
    if (pair.key == "shared") f.shared = Truthy(pair.value);
    if (pair.key == "feature_id") f.feature_id = Integer(line, pair);
  }
  if (f.feed_name.empty()) line.Fail(line.text(), "an entry of a feed needs feed_name=…");
  return f;
}

constexpr std::string_view kCacheColumn = "cache_column", kColumnName = "column_name";

CacheEntry ReadCache(const Line& line) {
  CacheEntry c;
  if (StartsWith(line.text(), kCacheColumn)) {
    const size_t colon = line.text().find(':');
    if (colon == std::string_view::npos) line.Fail(line.text(), "write cache_column: NAME");
    c.cache_column = std::string(Strip(line.text().substr(colon + 1)));
    c.key = kCacheColumn;
    return c;
  }
  for (const Pair& pair : line.Pairs()) {
    if (pair.key == kCacheColumn) c.cache_column = std::string(pair.value);
    if (pair.key == "cache_name") c.cache_name = std::string(pair.value);
    if (pair.key == "cache_type") c.cache_type = std::string(pair.value);
    if (pair.key == "cache_key_class") c.cache_key_class = std::string(pair.value);
    if (pair.key == "capacity") c.capacity = Integer(line, pair);
    if (pair.key == "timeout") c.timeout = Integer(line, pair);
  }
  if (c.cache_name && !c.cache_name->empty()) {
    c.key = *c.cache_name;
  } else if (c.cache_key_class && !c.cache_key_class->empty()) {
    c.key = *c.cache_key_class;
  } else {
    line.Fail(line.text(), "an entry of a cache needs cache_name=… or cache_key_class=…");
  }
  return c;
}

void ReadColumnNames(const Line& line, std::vector<std::string>* names) {
  const size_t colon = line.text().find(':');
  if (colon == std::string_view::npos) line.Fail(line.text(), "write column_name: A, B, …");
  std::string_view rest = line.text().substr(colon + 1);
  while (true) {
    const size_t comma = rest.find(',');
    const std::string_view name = Strip(rest.substr(0, comma));
    if (!name.empty() && std::find(names->begin(), names->end(), name) == names->end()) names->emplace_back(name);
    if (comma == std::string_view::npos) return;
    rest.remove_prefix(comma + 1);
  }
}

// Puts the entry at the place of the one with its name, or at the end.
template <class Entry, class Key>
void Put(std::vector<Entry>* entries, std::map<std::string, size_t>* places, Entry entry, const Key& key) {
  const auto [it, added] = places->try_emplace(key, entries->size());
  if (added) {
    entries->push_back(std::move(entry));
  } else {
    (*entries)[it->second] = std::move(entry);
  }
}

}  // namespace

FeatureList ParseFeatureList(std::string_view text, const std::string& file) {
  FeatureList list;
  if (StartsWith(text, "\xef\xbb\xbf")) text.remove_prefix(3);
  std::map<std::string, size_t> features, feeds, caches;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    const Line line(text.substr(0, end), file, number);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.text().empty() || line.text()[0] == '#') continue;
    if (StartsWith(line.text(), kColumnName)) {
      ReadColumnNames(line, &list.column_names);
    } else if (StartsWith(line.text(), "feed")) {
      FeedEntry feed = ReadFeed(line);
      const std::string key = feed.feed_name;
      Put(&list.feeds, &feeds, std::move(feed), key);
    } else if (StartsWith(line.text(), "cache")) {
      CacheEntry cache = ReadCache(line);
      const std::string key = cache.key;
      Put(&list.caches, &caches, std::move(cache), key);
    } else {
      FeatureEntry feature = ReadFeature(line);
      const std::string key = feature.feature_name;
      Put(&list.features, &features, std::move(feature), key);
    }
  }
  return list;
}

}  // namespace monolith
