// Cells of one row, and the numbers and times in them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/records/pieces.h"

namespace monolith {

class CellSplitter {
 public:
  CellSplitter(std::string separator, bool quote) : separator_(std::move(separator)), quote_(quote) {}

  // Splits a row; a quoted cell loses its quotes. Views point into the row or stay valid until the next call.
  // Throws BadRecord when a closing quote is not followed by a separator.
  void Split(std::string_view row, std::vector<std::string_view>* cells);

 private:
  void SplitByByte(std::string_view row, std::vector<std::string_view>* cells) const;
  void SplitByText(std::string_view row, std::vector<std::string_view>* cells) const;
  void SplitQuoted(std::string_view row, std::vector<std::string_view>* cells);

  std::string separator_;
  bool quote_;
  Scratch scratch_;
};

// These take a whole text with blanks around it; false when it is something else.
bool ParseInteger(std::string_view text, uint64_t* value);  // -2^63 … 2^64-1, two's complement
bool ParseFloat(std::string_view text, float* value);
// YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]][Z|±HH[:]MM]] → seconds since 1970 in UTC; a fraction is dropped.
bool ParseTime(std::string_view text, int64_t* seconds);

bool IsAscii(std::string_view text);
void Latin1ToUtf8(std::string_view text, std::string* out);

}  // namespace monolith
