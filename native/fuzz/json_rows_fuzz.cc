// JSON lines of rows, and columns of rows, from arbitrary bytes: what is taken is written as a row, read back, printed, and taken
// again as the same bytes.
#include <stdlib.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "core/base/error.h"
#include "core/tables/entry_columns.h"
#include "core/tables/entry_write.h"
#include "core/tables/json_rows.h"

using namespace monolith;

namespace {

std::string Written(const DumpedEntry& entry) {
  std::string bytes;
  EntryWriter().Append(entry, &bytes);
  return bytes;
}

void ThroughColumns(const std::string& table, const DumpedEntry& entry, const std::string& bytes) {
  EntryColumns columns;
  columns.Append(table, entry);
  EntryColumnsView view;
  const auto list = [](const EntryColumns::List& l, size_t width) {
    return EntryColumnsView::List{l.offsets.data(), l.values.data(), l.values.size() / width};
  };
  view.rows = 1;
  view.fid = columns.fid.data();
  view.last_update = columns.last_update.data();
  view.table = list(columns.table, 1);
  view.weights = list(columns.weights, 4);
  view.optimizer = true;
  view.names = {columns.names.data(), nullptr, columns.names_text.offsets.size() - 1};
  view.names_text = list(columns.names_text, 1);
  view.state = list(columns.state, 4);
  view.sizes = list(columns.sizes, 4);
  view.steps = list(columns.steps, 8);
  std::string_view name;
  DumpedEntry back;
  view.Row(0, &name, &back);
  if (name != table || Written(back) != bytes) abort();
}

// Offsets, counts and names as they come: errors, never a read beyond the buffers.
void Columns(std::string_view bytes) {
  EntryColumnsView view;
  int32_t numbers[16] = {};
  std::memcpy(numbers, bytes.data(), std::min(bytes.size(), sizeof numbers));
  const std::string values(bytes);
  const uint64_t fid = 1;
  view.rows = 1;
  view.fid = &fid;
  const auto list = [&](int at, size_t width) { return EntryColumnsView::List{numbers + at, values.data(), values.size() / width}; };
  view.table = list(0, 1);
  view.weights = list(2, 4);
  view.optimizer = true;
  view.names = {numbers + 4, nullptr, 3};
  view.names_text = list(6, 1);
  view.state = list(10, 4);
  view.sizes = list(12, 4);
  view.steps = list(14, 8);
  std::string_view name;
  DumpedEntry entry;
  try {
    view.Row(0, &name, &entry);
    Written(entry);
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 4 == 0) {
    Columns(text);
    return 0;
  }
  JsonRowParser parser;
  DumpedEntry entry, again;
  std::string table, line, other;
  try {
    const RowFields has = parser.Parse(text, &table, &entry);
    if (!has.table) table = "t";
  } catch (const Error&) {
    return 0;
  }
  const std::string bytes = Written(entry);
  again.Parse(bytes);
  if (Written(again) != bytes || ReadEntryHead(bytes).key != entry.key) abort();
  AppendJsonLine(table, entry, &line);
  parser.Parse({line.data(), line.size() - 1}, &other, &again);
  if (Written(again) != bytes) abort();
  ThroughColumns(table, entry, bytes);
  return 0;
}
