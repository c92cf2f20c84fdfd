// Rows from JSON lines as AppendJsonLine writes them.
#pragma once

#include <string>
#include <string_view>

#include "core/tables/entry_dump.h"

namespace monolith {

// What a line may leave out; the caller says which of them it can fill in itself.
struct RowFields {
  bool table = false, last_update = false, optimizer = false;
};

// Parses one line, which must be one object with the fields of a row and no other: table, fid, last_update, weights, optimizer,
// and slot, which is checked against the fid. Order and blanks are free. Numbers become the nearest float; those that are not
// finite are the texts "NaN", "Infinity" and "-Infinity", and "NaN(0x7fc00001)" is the NaN of those bits. A fid is a number from
// -2^63 to 2^64 - 1, or the same as text.
class JsonRowParser {
 public:
  // Fills *table and *entry, as far as the line has them. Throws BadRecord("column N: <reason>").
  RowFields Parse(std::string_view line, std::string* table, DumpedEntry* entry);

 private:
  [[noreturn]] void Fail(const std::string& reason) const;
  void Blanks();
  char Peek();
  bool Take(char c);
  void Expect(char c);
  template <class Element>
  void List(Element element);
  template <class Member>
  void Object(Member member);
  void Text(std::string* out);
  void Escape(std::string* out);
  uint32_t Hex4();
  float Float();
  template <class T>
  T Integer(const char* what);
  int64_t Fid();
  void Segment(DumpedEntry* entry);
  void State(DumpedEntry* entry, const OptimizerKind& kind);

  const char* begin_ = nullptr;
  const char* p_ = nullptr;
  const char* end_ = nullptr;
  std::string name_, text_;
};

}  // namespace monolith
