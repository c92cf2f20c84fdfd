// The small texts that configure operators: numbers and words between separators ("1,2:3:1.0;4::0.5").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace monolith {

class ConfigText {
 public:
  // A part of the text, without the blanks around it.
  struct Piece {
    size_t begin, end;
    bool empty() const { return begin == end; }
  };

  // `option` is what messages name.
  ConfigText(std::string_view option, std::string_view text) : option_(option), text_(text) {}

  Piece All() const { return Trimmed({0, text_.size()}); }
  // The pieces between separators; one more than there are separators.
  std::vector<Piece> Split(Piece piece, char separator) const;
  // The same, which must be exactly `n`; `form` is how it should look.
  std::vector<Piece> Split(Piece piece, char separator, size_t n, const char* form) const;
  std::string_view Of(Piece piece) const { return text_.substr(piece.begin, piece.end - piece.begin); }

  // Throw with a caret when the piece is no number, or not in low … high.
  int64_t Integer(Piece piece, int64_t low, int64_t high) const;
  float Number(Piece piece) const;

  // Throws Error(kUsage) with a caret under the piece.
  [[noreturn]] void Fail(Piece piece, const std::string& what) const;

 private:
  Piece Trimmed(Piece piece) const;

  std::string option_;
  std::string_view text_;
};

}  // namespace monolith
