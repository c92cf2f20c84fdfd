#include "core/base/caret.h"

#include <algorithm>

namespace monolith {
namespace {

// Columns a terminal uses for these bytes, near enough: one for each character.
size_t Columns(std::string_view bytes) {
  return static_cast<size_t>(std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

void FailUnder(std::string_view option, std::string_view text, size_t begin, size_t end, const std::string& what,
               ErrorCode code) {
  const size_t before = begin == 0 ? std::string_view::npos : text.rfind('\n', begin - 1);
  const size_t from = before == std::string_view::npos ? 0 : before + 1;
  const size_t to = std::min(text.find('\n', begin), text.size());
  std::string line(text.substr(from, to - from));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  const size_t length = std::max<size_t>(1, Columns(text.substr(begin, std::min(end, to) - std::min(begin, to))));
  throw Error(code, std::string(option) + ": " + what + "\n  " + line + "\n  " +
                        std::string(Columns(text.substr(from, begin - from)), ' ') + "^" + std::string(length - 1, '~'));
}

}  // namespace monolith
