#include "core/records/csv_cells.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include <charconv>

namespace monolith {
namespace {

std::string_view Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// One or two digits in front, taken away; false when there is none.
bool TakeDigits(std::string_view* s, size_t n, int* value) {
  if (s->size() < n) return false;
  *value = 0;
  for (size_t i = 0; i < n; ++i) {
    const char c = (*s)[i];
    if (c < '0' || c > '9') return false;
    *value = *value * 10 + (c - '0');
  }
  s->remove_prefix(n);
  return true;
}

bool Take(std::string_view* s, char c) {
  if (s->empty() || s->front() != c) return false;
  s->remove_prefix(1);
  return true;
}

// Days since 1970-01-01 in the Gregorian calendar.
int64_t DaysOf(int year, int month, int day) {
  const int64_t y = month <= 2 ? year - 1 : year;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t of_era = y - era * 400;
  const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int DaysIn(int year, int month) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// What follows the minutes: seconds, their fraction, the zone.
bool TakeSecondsAndZone(std::string_view* s, int64_t* seconds) {
  int value = 0;
  if (Take(s, ':')) {
    if (!TakeDigits(s, 2, &value) || value > 60) return false;
    *seconds += value;
    if (Take(s, '.')) {
      if (!TakeDigits(s, 1, &value)) return false;
      while (TakeDigits(s, 1, &value)) {
      }
    }
  }
  if (s->empty() || Take(s, 'Z')) return s->empty();
  const int sign = Take(s, '+') ? -1 : Take(s, '-') ? 1 : 0;
  int hours = 0, minutes = 0;
  if (!sign || !TakeDigits(s, 2, &hours)) return false;
  Take(s, ':');
  if (!s->empty() && !TakeDigits(s, 2, &minutes)) return false;
  *seconds += sign * (hours * 3600 + minutes * 60);
  return s->empty() && hours < 24 && minutes < 60;
}

}  // namespace

void CellSplitter::Split(std::string_view row, std::vector<std::string_view>* cells) {
  cells->clear();
  if (separator_.size() > 1) return SplitByText(row, cells);
  if (quote_ && row.find('"') != std::string_view::npos) return SplitQuoted(row, cells);
  SplitByByte(row, cells);
}

void CellSplitter::SplitByByte(std::string_view row, std::vector<std::string_view>* cells) const {
  const char* cell = row.data();
  const char* p = row.data();
  const char* end = p + row.size();
  const char separator = separator_[0];
#ifdef __AVX2__
  const __m256i wanted = _mm256_set1_epi8(separator);
  for (; end - p >= 32; p += 32) {
    const __m256i block = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    auto hits = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(block, wanted)));
    for (; hits; hits &= hits - 1) {
      const char* hit = p + __builtin_ctz(hits);
      cells->emplace_back(cell, static_cast<size_t>(hit - cell));
      cell = hit + 1;
    }
  }
#endif
  for (; p < end; ++p) {
    if (*p != separator) continue;
    cells->emplace_back(cell, static_cast<size_t>(p - cell));
    cell = p + 1;
  }
  cells->emplace_back(cell, static_cast<size_t>(end - cell));
}

void CellSplitter::SplitByText(std::string_view row, std::vector<std::string_view>* cells) const {
  size_t begin = 0;
  while (true) {
    const size_t at = row.find(separator_, begin);
    if (at == std::string_view::npos) break;
    cells->push_back(row.substr(begin, at - begin));
    begin = at + separator_.size();
  }
  cells->push_back(row.substr(begin));
}

void CellSplitter::SplitQuoted(std::string_view row, std::vector<std::string_view>* cells) {
  scratch_.Reset();
  const char separator = separator_[0];
  for (size_t at = 0;;) {
    if (at < row.size() && row[at] == '"') {
      size_t quote = row.find('"', at + 1);
      std::string_view cell = row.substr(at + 1, quote - at - 1);
      std::string* unescaped = nullptr;
      while (quote != std::string_view::npos && quote + 1 < row.size() && row[quote + 1] == '"') {
        if (!unescaped) (unescaped = scratch_.New())->assign(cell);
        const size_t next = row.find('"', quote + 2);
        unescaped->append(row.substr(quote + 1, next - quote - 1));
        quote = next;
      }
      if (quote == std::string_view::npos) throw BadRecord("the quote of a cell is not closed");
      cells->push_back(unescaped ? std::string_view(*unescaped) : cell);
      at = quote + 1;
      if (at < row.size() && row[at] != separator)
        throw BadRecord("cell " + std::to_string(cells->size()) + " goes on after its closing quote");
    } else {
      const size_t next = std::min(row.find(separator, at), row.size());
      cells->push_back(row.substr(at, next - at));
      at = next;
    }
    if (at >= row.size()) return;
    ++at;  // the separator; a row that ends with one has an empty cell behind it
  }
}

bool ParseInteger(std::string_view text, uint64_t* value) {
  text = Trim(text);
  if (Take(&text, '+') && !text.empty() && text[0] == '-') return false;
  if (text.empty()) return false;
  const char* end = text.data() + text.size();
  if (text[0] == '-') {
    int64_t v = 0;
    const auto result = std::from_chars(text.data(), end, v);
    *value = static_cast<uint64_t>(v);
    return result.ec == std::errc() && result.ptr == end;
  }
  const auto result = std::from_chars(text.data(), end, *value);
  return result.ec == std::errc() && result.ptr == end;
}

bool ParseFloat(std::string_view text, float* value) {
  text = Trim(text);
  if (Take(&text, '+') && !text.empty() && text[0] == '-') return false;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, *value);
  if (result.ptr != end || text.empty()) return false;
  if (result.ec == std::errc()) return true;
  // Too large or too small for a float: by way of a double it becomes infinite or zero, as a cast would.
  double wide = 0;
  if (std::from_chars(text.data(), end, wide).ec != std::errc()) return false;
  *value = static_cast<float>(wide);
  return true;
}

bool ParseTime(std::string_view s, int64_t* seconds) {
  s = Trim(s);
  int year = 0, month = 0, day = 0, hour = 0, minute = 0;
  if (!TakeDigits(&s, 4, &year) || !Take(&s, '-') || !TakeDigits(&s, 2, &month) || !Take(&s, '-') ||
      !TakeDigits(&s, 2, &day))
    return false;
  if (month < 1 || month > 12 || day < 1 || day > DaysIn(year, month)) return false;
  *seconds = DaysOf(year, month, day) * 86400;
  if (s.empty()) return true;
  if (!Take(&s, 'T') && !Take(&s, ' ')) return false;
  if (!TakeDigits(&s, 2, &hour) || !Take(&s, ':') || !TakeDigits(&s, 2, &minute)) return false;
  if (hour > 23 || minute > 59) return false;
  *seconds += hour * 3600 + minute * 60;
  return TakeSecondsAndZone(&s, seconds);
}

bool IsAscii(std::string_view text) {
  uint64_t seen = 0;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) seen |= LoadLe<uint64_t>(text.data() + i);
  for (; i < text.size(); ++i) seen |= static_cast<uint8_t>(text[i]);
  return (seen & 0x8080808080808080u) == 0;
}

void Latin1ToUtf8(std::string_view text, std::string* out) {
  out->clear();
  for (const char c : text) {
    if (static_cast<int8_t>(c) >= 0) {
      out->push_back(c);
      continue;
    }
    const auto u = static_cast<uint8_t>(c);
    out->push_back(static_cast<char>(0xc0 | u >> 6));
    out->push_back(static_cast<char>(0x80 | (u & 0x3f)));
  }
}

}  // namespace monolith
