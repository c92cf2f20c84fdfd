#include <charconv>
#include <cmath>

#include "core/base/bytes.h"
#include "core/tables/entry_dump.h"

namespace monolith {
namespace {

template <class T>
void Number(T v, std::string* out) {
  char digits[32];
  out->append(digits, std::to_chars(digits, digits + sizeof digits, v).ptr);
}

// The bits of a NaN that is not the usual one are kept: a row goes there and back unchanged.
void Nan(float v, std::string* out) {
  constexpr uint32_t kUsual = 0x7FC00000;
  const uint32_t bits = LoadLe<uint32_t>(&v);
  out->append("\"NaN");
  if (bits != kUsual) {
    char digits[16];
    out->append("(0x");
    out->append(digits, std::to_chars(digits, digits + sizeof digits, bits, 16).ptr);
    out->push_back(')');
  }
  out->push_back('"');
}

// As protobuf's JSON has it: numbers that JSON does not know are text.
void Float(float v, std::string* out) {
  if (std::isnan(v)) Nan(v, out);
  else if (std::isinf(v)) out->append(v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
  else Number(v, out);
}

void Floats(const float* v, size_t n, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < n; ++i) {
    if (i) out->append(", ");
    Float(v[i], out);
  }
  out->push_back(']');
}

// What is no UTF-8 in a name becomes U+FFFD: the line must stay JSON.
size_t Utf8Length(std::string_view s) {
  const auto byte = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned c = byte(0);
  if (c < 0x80) return 1;
  if (c >= 0xC2 && c < 0xE0) return tail(1) ? 2 : 0;
  if (c >= 0xE0 && c < 0xF0) {
    const bool range = c == 0xE0 ? byte(1) >= 0xA0 : c == 0xED ? byte(1) < 0xA0 : true;
    return range && tail(1) && tail(2) ? 3 : 0;
  }
  if (c >= 0xF0 && c < 0xF5) {
    const bool range = c == 0xF0 ? byte(1) >= 0x90 : c == 0xF4 ? byte(1) < 0x90 : true;
    return range && tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void Text(std::string_view s, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  while (!s.empty()) {
    const size_t n = Utf8Length(s);
    const unsigned char c = static_cast<unsigned char>(s[0]);
    if (n == 0) {
      out->append("\xEF\xBF\xBD");
    } else if (c < 0x20) {
      out->append("\\u00");
      out->push_back(kHex[c >> 4]);
      out->push_back(kHex[c & 15]);
    } else {
      if (c == '"' || c == '\\') out->push_back('\\');
      out->append(s.substr(0, n));
    }
    s.remove_prefix(n ? n : 1);
  }
  out->push_back('"');
}

void State(const DumpedEntry& entry, const DumpedEntry::Segment& segment, std::string* out) {
  if (!segment.kind) return void(out->append("{}"));
  out->append("{\"");
  out->append(segment.kind->name);
  out->append("\": {");
  for (size_t i = 0; i < segment.count; ++i) {
    const auto& value = entry.values[segment.first + i];
    out->append(i ? ", \"" : "\"");
    out->append(value.field->name);
    out->append("\": ");
    if (value.field->integer) Number(value.integer, out);
    else if (value.field->repeated) Floats(entry.state.data() + value.first, value.count, out);
    else Float(entry.state[value.first], out);
  }
  out->append("}}");
}

}  // namespace

void AppendJsonLine(const std::string& table, const DumpedEntry& entry, std::string* out) {
  const uint64_t fid = static_cast<uint64_t>(entry.key);
  out->append("{\"table\": ");
  Text(table, out);
  out->append(", \"fid\": ");
  Number(fid, out);
  out->append(", \"slot\": ");
  Number(fid >> 48 & 0x7FFF, out);
  out->append(", \"last_update\": ");
  Number(entry.timestamp, out);
  out->append(", \"weights\": ");
  Floats(entry.weights.data(), entry.weights.size(), out);
  out->append(", \"optimizer\": [");
  for (size_t i = 0; i < entry.segments.size(); ++i) {
    if (i) out->append(", ");
    State(entry, entry.segments[i], out);
  }
  out->append("]}\n");
}

}  // namespace monolith
