#include "core/operators/operands.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "core/records/feature_value.h"

namespace monolith {
namespace {

using wire::Key;
using wire::Type;

constexpr size_t kMostBytes = size_t{1} << 30;

[[noreturn]] void Fail(const std::string& what) { throw Error(ErrorCode::kUsage, what); }

// A word as it is shown in a message: not too long, without control characters.
std::string Shown(std::string_view word) {
  std::string text(word.substr(0, 40));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return "\"" + text + (word.size() > text.size() ? "…\"" : "\"");
}

enum class Digits { kGood, kBad, kTooLarge };

Digits ParseDigits(std::string_view digits, uint64_t* value) {
  const bool hex = digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == 'x';
  const uint64_t base = hex ? 16 : 10;
  if (hex) digits.remove_prefix(2);
  *value = 0;
  bool fits = true;
  for (char c : digits) {
    const char lower = static_cast<char>(c | 0x20);
    const int digit = c >= '0' && c <= '9' ? c - '0' : hex && lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
    if (digit < 0) return Digits::kBad;
    fits = fits && !__builtin_mul_overflow(*value, base, value) &&
           !__builtin_add_overflow(*value, static_cast<uint64_t>(digit), value);
  }
  return digits.empty() ? Digits::kBad : fits ? Digits::kGood : Digits::kTooLarge;
}

// Two's complement of a negative number.
uint64_t ParseInteger(std::string_view word, bool is_signed) {
  const bool negative = !word.empty() && word[0] == '-';
  uint64_t value = 0;
  const Digits digits = ParseDigits(word.substr(negative ? 1 : 0), &value);
  if (digits == Digits::kBad) Fail("Invalid integer string: " + Shown(word));
  const bool over = negative ? value > uint64_t{1} << 63 : is_signed && value > static_cast<uint64_t>(INT64_MAX);
  if (digits == Digits::kTooLarge || over) Fail("an integer that does not fit: " + Shown(word));
  return negative ? 0 - value : value;
}

float ParseFloat(std::string_view word) {
  const std::string text(word);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || text[0] == ' ') Fail("Invalid float string: " + Shown(word));
  return static_cast<float>(value);
}

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Calls visit(word) for what stands between blanks (and commas).
template <class Visit>
void ForEachWord(std::string_view text, bool commas, Visit visit) {
  const auto between = [&](char c) { return IsBlank(c) || (commas && c == ','); };
  for (size_t at = 0; at < text.size();) {
    if (between(text[at])) {
      ++at;
      continue;
    }
    const size_t begin = at;
    while (at < text.size() && !between(text[at])) ++at;
    visit(text.substr(begin, at - begin));
  }
}

std::string ReadAll(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const auto fail = [&](const std::string& why) { throw Error(ErrorCode::kNoInput, path + ": " + why); };
  if (fd < 0) fail(std::strerror(errno));
  std::string bytes;
  char piece[65536];
  while (true) {
    const ssize_t got = read(fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    const int error = errno;
    if (got <= 0 || bytes.size() > kMostBytes) close(fd);
    if (got < 0) fail(std::strerror(error));
    if (got == 0) return bytes;
    if (bytes.size() > kMostBytes) Fail(path + ": over 1 GiB, which is no list of operands");
    bytes.append(piece, static_cast<size_t>(got));
  }
}

// The members of FilterValues by their numbers.
const char* const kListNames[] = {"nothing", "a float_list", "an int64_list", "a bytes_list"};

uint32_t ListNumber(OperandType type) {
  switch (type) {
    case OperandType::kFloat: case OperandType::kDouble: return schema::filter_values::kFloatList;
    case OperandType::kString: return schema::filter_values::kBytesList;
    default: return schema::filter_values::kInt64List;
  }
}

struct FilterValues {
  uint32_t number = 0;  // of the list
  Operands values;
};

// One occurrence of a list; throws BadRecord for anything that is none.
void ReadList(std::string_view list, FilterValues* into) {
  Operands& values = into->values;
  wire::Cursor c(list);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (into->number == schema::filter_values::kBytesList && tag == Key(schema::kListValue, Type::kBytes)) {
      values.strings.emplace_back(c.Bytes());
    } else if (into->number == schema::filter_values::kFloatList && tag == Key(schema::kListValue, Type::kFixed32)) {
      values.floats.push_back(LoadLe<float>(c.Fixed32().data()));
    } else if (into->number == schema::filter_values::kFloatList && tag == Key(schema::kListValue, Type::kBytes)) {
      const std::string_view run = wire::PackedOf(c.Bytes(), 4, c);
      for (size_t i = 0; i < run.size(); i += 4) values.floats.push_back(LoadLe<float>(run.data() + i));
    } else if (into->number == schema::filter_values::kInt64List && tag == Key(schema::kListValue, Type::kVarint)) {
      values.ints.push_back(static_cast<int64_t>(c.Varint()));
    } else if (into->number == schema::filter_values::kInt64List && tag == Key(schema::kListValue, Type::kBytes)) {
      wire::Cursor packed(c.Bytes());
      while (!packed.done()) values.ints.push_back(static_cast<int64_t>(packed.Varint()));
    } else {
      c.Fail("no list of values");
    }
  }
}

// False when the bytes are anything else, or have more in them. As in protobuf the last member of the oneof counts.
bool ReadFilterValues(std::string_view bytes, FilterValues* into) {
  try {
    wire::Cursor c(bytes);
    while (!c.done()) {
      const uint32_t tag = c.Tag();
      const uint32_t number = tag >> 3;
      if (number > schema::filter_values::kBytesList || tag != Key(number, Type::kBytes)) return false;
      if (number != into->number) *into = {};
      into->number = number;
      ReadList(c.Bytes(), into);
    }
  } catch (const BadRecord&) {
    return false;
  }
  return into->number != 0;
}

Operands ReadText(OperandType type, std::string_view text) {
  for (char c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && !IsBlank(c)) || c == 0x7f) Fail("neither a FilterValues message nor text");
  Operands operands;
  operands.type = type;
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    try {
      if (type != OperandType::kString) {
        ForEachWord(line, true, [&](std::string_view word) { operands.Add(word); });
      } else if (!line.empty()) {
        operands.Add(line);
      }
    } catch (const Error& e) {
      Fail("line " + std::to_string(number) + ": " + e.what());
    }
  }
  return operands;
}

}  // namespace

void Operands::Add(std::string_view word) {
  switch (type) {
    case OperandType::kInt: case OperandType::kIntList:
      ints.push_back(static_cast<int64_t>(ParseInteger(word, true)));
      return;
    case OperandType::kUint: uints.push_back(ParseInteger(word, false)); return;
    case OperandType::kFloat: case OperandType::kDouble: floats.push_back(ParseFloat(word)); return;
    case OperandType::kString: strings.emplace_back(word); return;
  }
}

Operands ParseOperands(OperandType type, const std::vector<std::string>& words) {
  Operands operands;
  operands.type = type;
  for (const std::string& word : words) {
    if (type == OperandType::kString) {
      operands.Add(word);
    } else {
      ForEachWord(word, true, [&](std::string_view piece) { operands.Add(piece); });
    }
  }
  return operands;
}

Operands ReadOperandFile(OperandType type, const std::string& path) {
  const std::string bytes = ReadAll(path);
  if (bytes.empty()) Fail(path + ": an empty file; an empty list is an empty line");
  FilterValues found;
  if (!ReadFilterValues(bytes, &found)) {
    try {
      return ReadText(type, bytes);
    } catch (const Error& e) {
      Fail(path + ": " + e.what());
    }
  }
  if (found.number != ListNumber(type))
    Fail(path + ": holds " + kListNames[found.number] + ", and " + kListNames[ListNumber(type)] + " is needed");
  Operands& values = found.values;
  values.type = type;
  if (type == OperandType::kUint) {
    values.uints.assign(values.ints.begin(), values.ints.end());
    values.ints.clear();
  }
  return std::move(values);
}

Relation MakeRelation(RelOp op, Operands operands) {
  switch (operands.type) {
    case OperandType::kInt: return Relation::Ints(op, std::move(operands.ints));
    case OperandType::kUint: return Relation::Uints(op, std::move(operands.uints));
    case OperandType::kFloat: return Relation::Floats(op, std::move(operands.floats));
    case OperandType::kDouble: return Relation::Doubles(op, std::move(operands.floats));
    case OperandType::kString: return Relation::Strings(op, std::move(operands.strings));
    default: return Relation::List(op, std::move(operands.ints));
  }
}

}  // namespace monolith
