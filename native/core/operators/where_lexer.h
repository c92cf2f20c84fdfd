// Words of the --where expression, and its error messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace monolith {

enum class TokenKind { kWord, kInt, kFloat, kString, kFile, kSymbol, kEnd };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;        // a word (keywords in lower case), a symbol, the content of a string, a path; else as written
  size_t begin = 0, end = 0;  // bytes in the expression
  bool negative = false;   // of an integer
  uint64_t magnitude = 0;  // of an integer
  double number = 0;       // of an integer or a float
};

// Throws Error(code): `what`, then the line of the expression, then a caret under the bytes begin … end.
[[noreturn]] void FailAt(std::string_view expression, size_t begin, size_t end, const std::string& what,
                         ErrorCode code = ErrorCode::kUsage);

// The last token is kEnd. Keywords are known in any case; `not-in` is one word.
std::vector<Token> TokenizeWhere(std::string_view expression);

}  // namespace monolith
