#include "core/operators/config_text.h"

#include <cmath>
#include <cstdlib>

#include "core/base/caret.h"

namespace monolith {
namespace {

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

ConfigText::Piece ConfigText::Trimmed(Piece piece) const {
  while (piece.begin < piece.end && IsBlank(text_[piece.begin])) ++piece.begin;
  while (piece.begin < piece.end && IsBlank(text_[piece.end - 1])) --piece.end;
  return piece;
}

std::vector<ConfigText::Piece> ConfigText::Split(Piece piece, char separator) const {
  std::vector<Piece> pieces;
  size_t begin = piece.begin;
  for (size_t i = piece.begin; i < piece.end; ++i) {
    if (text_[i] != separator) continue;
    pieces.push_back(Trimmed({begin, i}));
    begin = i + 1;
  }
  pieces.push_back(Trimmed({begin, piece.end}));
  return pieces;
}

std::vector<ConfigText::Piece> ConfigText::Split(Piece piece, char separator, size_t n, const char* form) const {
  std::vector<Piece> pieces = Split(piece, separator);
  if (pieces.size() != n) Fail(piece, std::string("should look like ") + form);
  return pieces;
}

int64_t ConfigText::Integer(Piece piece, int64_t low, int64_t high) const {
  const std::string_view text = Of(piece);
  const bool negative = !text.empty() && text[0] == '-';
  const std::string_view digits = text.substr(negative);
  if (digits.empty()) Fail(piece, "a whole number is missing");
  int64_t value = 0;
  bool fits = true;
  for (char c : digits) {
    if (c < '0' || c > '9') Fail(piece, "\"" + std::string(text) + "\" is no whole number");
    const int64_t digit = negative ? '0' - c : c - '0';
    fits = fits && !__builtin_mul_overflow(value, int64_t{10}, &value) && !__builtin_add_overflow(value, digit, &value);
  }
  if (!fits || value < low || value > high)
    Fail(piece, std::string(text) + " is not in " + std::to_string(low) + ".." + std::to_string(high));
  return value;
}

float ConfigText::Number(Piece piece) const {
  const std::string text(Of(piece));
  if (text.empty()) Fail(piece, "a number is missing");
  char* end = nullptr;
  const float value = std::strtof(text.c_str(), &end);
  if (end != text.c_str() + text.size()) Fail(piece, "\"" + text + "\" is no number");
  if (!std::isfinite(value)) Fail(piece, text + " is not a finite number");
  return value;
}

void ConfigText::Fail(Piece piece, const std::string& what) const {
  FailUnder(option_, text_, piece.begin, piece.end, what);
}

}  // namespace monolith
