#include "core/tables/json_rows.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/tables/entry_write.h"

namespace monolith {
namespace {

void AppendUtf8(uint32_t c, std::string* out) {
  const auto tail = [&](int shift) { out->push_back(static_cast<char>(0x80 | (c >> shift & 0x3F))); };
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out->push_back(static_cast<char>(0xC0 | c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | c >> 12));
    tail(6), tail(0);
  } else {
    out->push_back(static_cast<char>(0xF0 | c >> 18));
    tail(12), tail(6), tail(0);
  }
}

}  // namespace

void JsonRowParser::Fail(const std::string& reason) const {
  throw BadRecord("column " + std::to_string(p_ - begin_ + 1) + ": " + reason);
}

void JsonRowParser::Blanks() {
  while (p_ < end_ && (*p_ == ' ' || *p_ == '\t' || *p_ == '\r' || *p_ == '\n')) ++p_;
}

char JsonRowParser::Peek() {
  Blanks();
  return p_ < end_ ? *p_ : '\0';
}

bool JsonRowParser::Take(char c) {
  if (p_ == end_ || Peek() != c || p_ == end_) return false;
  ++p_;
  return true;
}

void JsonRowParser::Expect(char c) {
  if (!Take(c)) Fail(p_ == end_ ? std::string("the line ends where '") + c + "' should be" : std::string("'") + c + "' should be here");
}

template <class Element>
void JsonRowParser::List(Element element) {
  Expect('[');
  if (Take(']')) return;
  do element();
  while (Take(','));
  Expect(']');
}

template <class Member>
void JsonRowParser::Object(Member member) {
  Expect('{');
  if (Take('}')) return;
  do {
    Blanks();
    const char* const at = p_;
    Text(&name_);
    Expect(':');
    member(at);
  } while (Take(','));
  Expect('}');
}

uint32_t JsonRowParser::Hex4() {
  uint32_t v = 0;
  const auto [end, error] = std::from_chars(p_, std::min(p_ + 4, end_), v, 16);
  if (error != std::errc() || end != p_ + 4) Fail("\\u needs four hexadecimal digits");
  p_ += 4;
  return v;
}

void JsonRowParser::Escape(std::string* out) {
  if (p_ == end_) Fail("the line ends inside a text");
  const char c = *p_++;
  switch (c) {
    case '"': case '\\': case '/': return out->push_back(c);
    case 'b': return out->push_back('\b');
    case 'f': return out->push_back('\f');
    case 'n': return out->push_back('\n');
    case 'r': return out->push_back('\r');
    case 't': return out->push_back('\t');
    case 'u': break;
    default: --p_; Fail("there is no such escape");
  }
  uint32_t v = Hex4();
  if (v >= 0xD800 && v < 0xDC00) {
    if (end_ - p_ < 6 || p_[0] != '\\' || p_[1] != 'u') Fail("half a surrogate pair");
    p_ += 2;
    const uint32_t low = Hex4();
    if (low < 0xDC00 || low > 0xDFFF) Fail("half a surrogate pair");
    v = 0x10000 + ((v - 0xD800) << 10) + (low - 0xDC00);
  } else if (v >= 0xDC00 && v < 0xE000) {
    Fail("half a surrogate pair");
  }
  AppendUtf8(v, out);
}

void JsonRowParser::Text(std::string* out) {
  if (!Take('"')) Fail("a text in quotes should be here");
  out->clear();
  while (true) {
    if (p_ == end_) Fail("the line ends inside a text");
    const char c = *p_++;
    if (c == '"') return;
    if (static_cast<unsigned char>(c) < 0x20) --p_, Fail("a control character inside a text");
    if (c == '\\') Escape(out);
    else out->push_back(c);
  }
}

// JSON has no numbers that are not finite, nor a leading + or 0x, which from_chars would not take either.
float JsonRowParser::Float() {
  const char c = Peek();
  if (c == '"') {
    Text(&text_);
    if (text_ == "NaN") return std::numeric_limits<float>::quiet_NaN();
    if (text_ == "Infinity") return std::numeric_limits<float>::infinity();
    if (text_ == "-Infinity") return -std::numeric_limits<float>::infinity();
    uint32_t bits = 0;
    const char* const last = text_.data() + text_.size();
    if (text_.compare(0, 6, "NaN(0x") == 0) {
      const auto [end, error] = std::from_chars(text_.data() + 6, last, bits, 16);
      const float v = LoadLe<float>(&bits);
      if (error == std::errc() && end + 1 == last && *end == ')' && std::isnan(v)) return v;
    }
    Fail("a number, \"NaN\", \"Infinity\" or \"-Infinity\" should be here");
  }
  if (c != '-' && (c < '0' || c > '9')) Fail("a number should be here");
  if (c == '-' && (p_ + 1 == end_ || p_[1] < '0' || p_[1] > '9')) Fail("a number should be here");
  float v = 0;
  const auto [end, error] = std::from_chars(p_, end_, v);
  if (error == std::errc::result_out_of_range) {
    // Too small is 0; too large is no float.
    double wide = 0;
    const auto [unused, wide_error] = std::from_chars(p_, end_, wide);
    if (wide_error == std::errc() ? std::abs(wide) > 1 : true) Fail("the number is beyond the range of float32");
    v = static_cast<float>(wide);
  } else if (error != std::errc()) {
    Fail("a number should be here");
  }
  p_ = end;
  return v;
}

template <class T>
T JsonRowParser::Integer(const char* what) {
  Blanks();
  T v = 0;
  const auto [end, error] = std::from_chars(p_, end_, v);
  if (error == std::errc::result_out_of_range) Fail(std::string(what) + " is beyond 64 bits");
  if (error != std::errc() || (end < end_ && (*end == '.' || *end == 'e' || *end == 'E')))
    Fail(std::string(what) + " should be an integer");
  p_ = end;
  return v;
}

int64_t JsonRowParser::Fid() {
  const bool quoted = Take('"');
  const bool negative = Peek() == '-';
  const int64_t key = negative ? Integer<int64_t>("fid") : static_cast<int64_t>(Integer<uint64_t>("fid"));
  if (quoted && (p_ == end_ || *p_++ != '"')) Fail("fid should be an integer");
  return key;
}

void JsonRowParser::State(DumpedEntry* entry, const OptimizerKind& kind) {
  std::vector<DumpedEntry::Value> found(kind.fields.size());
  Object([&](const char* at) {
    size_t i = 0;
    while (i < kind.fields.size() && name_ != kind.fields[i].name) ++i;
    if (i == kind.fields.size()) p_ = at, Fail(std::string(kind.name) + " has no state '" + name_ + "'");
    if (found[i].field) p_ = at, Fail("'" + name_ + "' comes twice");
    const OptimizerField& field = kind.fields[i];
    DumpedEntry::Value value{&field, entry->state.size(), 0, 0};
    if (field.integer) value.integer = Integer<int64_t>(field.name), value.count = 1;
    else if (field.repeated) List([&] { entry->state.push_back(Float()); });
    else entry->state.push_back(Float());
    if (!field.integer) value.count = entry->state.size() - value.first;
    found[i] = value;
  });
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i].field) Fail(std::string("the state of ") + kind.name + " has no '" + kind.fields[i].name + "'");
    entry->values.push_back(found[i]);
  }
}

// {"adagrad": {"norm": [...]}}, or {} for a segment that names no optimizer.
void JsonRowParser::Segment(DumpedEntry* entry) {
  DumpedEntry::Segment segment{nullptr, entry->values.size(), 0};
  Object([&](const char* at) {
    if (segment.kind) p_ = at, Fail("a segment has one optimizer");
    segment.kind = FindOptimizerKind(name_);
    if (!segment.kind) p_ = at, Fail("there is no optimizer '" + name_ + "'");
    State(entry, *segment.kind);
  });
  segment.count = entry->values.size() - segment.first;
  entry->segments.push_back(segment);
}

RowFields JsonRowParser::Parse(std::string_view line, std::string* table, DumpedEntry* entry) {
  begin_ = p_ = line.data();
  end_ = p_ + line.size();
  entry->key = entry->timestamp = 0;
  entry->weights.clear();
  entry->state.clear();
  entry->segments.clear();
  entry->values.clear();
  RowFields has;
  bool fid = false, weights = false, slotted = false;
  uint64_t slot = 0;
  const char* slot_at = p_;
  const auto once = [&](bool* seen, const char* at) {
    if (*seen) p_ = at, Fail("'" + name_ + "' comes twice");
    *seen = true;
  };
  Object([&](const char* at) {
    if (name_ == "fid") once(&fid, at), entry->key = Fid();
    else if (name_ == "weights") once(&weights, at), List([&] { entry->weights.push_back(Float()); });
    else if (name_ == "table") once(&has.table, at), Text(table);
    else if (name_ == "last_update") once(&has.last_update, at), entry->timestamp = Integer<int64_t>("last_update");
    else if (name_ == "optimizer") once(&has.optimizer, at), List([&] { Segment(entry); });
    else if (name_ == "slot") once(&slotted, at), slot_at = at, slot = Integer<uint64_t>("slot");
    else p_ = at, Fail("unknown field '" + name_ + "'; a row has table, fid, slot, last_update, weights and optimizer");
  });
  Blanks();
  if (p_ != end_) Fail("there is more after the row");
  if (!fid) Fail("the row has no 'fid'");
  if (!weights) Fail("the row has no 'weights'");
  const uint64_t real = static_cast<uint64_t>(entry->key) >> 48 & 0x7FFF;
  if (slotted && slot != real) p_ = slot_at, Fail("slot " + std::to_string(slot) + " is not that of the fid, " + std::to_string(real));
  return has;
}

}  // namespace monolith
