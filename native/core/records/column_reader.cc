#include "core/records/column_reader.h"

#include <charconv>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith {
namespace {

bool IsValid(const ColumnView& column, size_t i) { return !column.valid || (column.valid[i / 8] >> (i % 8) & 1); }

void StoreSize(std::string* out, size_t at, uint64_t size) {
  if (size > UINT32_MAX) throw BadRecord("a value or list is longer than 4 GiB");
  StoreLe<uint32_t>(out->data() + at, static_cast<uint32_t>(size));
}

}  // namespace

void ColumnReader::AppendValue(const ColumnView& column, size_t i) {
  const size_t at = out_.size();
  out_.append(4, '\0');
  if (column.kind == ColumnView::Kind::kBytes) {
    const auto begin = LoadLe<int64_t>(column.values + 8 * i), end = LoadLe<int64_t>(column.values + 8 * (i + 1));
    out_.append(column.data + begin, static_cast<size_t>(end - begin));
  } else {
    char text[64];
    std::to_chars_result made{};
    if (column.kind == ColumnView::Kind::kFloat)
      made = std::to_chars(text, text + sizeof text, LoadLe<float>(column.values + 4 * i));
    else if (column.kind == ColumnView::Kind::kUint64)
      made = std::to_chars(text, text + sizeof text, LoadLe<uint64_t>(column.values + 8 * i));
    else
      made = std::to_chars(text, text + sizeof text, LoadLe<int64_t>(column.values + 8 * i));
    out_.append(text, made.ptr);
  }
  StoreSize(&out_, at, out_.size() - at - 4);
}

void ColumnReader::AppendColumn(const ColumnView& column) {
  const size_t at = out_.size();
  out_.append(4, '\0');
  size_t begin = row_, end = row_ + 1;
  if (column.rows) {
    begin = static_cast<size_t>(column.rows[row_]);
    end = static_cast<size_t>(column.rows[row_ + 1]);
  }
  uint64_t count = 0;
  for (size_t i = column.offset + begin; i < column.offset + end; ++i) {
    if (!IsValid(column, i)) continue;
    AppendValue(column, i);
    ++count;
  }
  StoreSize(&out_, at, count);
}

bool ColumnReader::Next(Record* record) {
  while (row_ == batch_.rows) {
    batch_ = {};
    row_ = 0;
    if (!next_(&batch_)) return false;
  }
  out_.clear();
  record->offset = read_++;
  record->end = read_;
  for (const ColumnView& column : batch_.columns) AppendColumn(column);
  ++row_;
  record->payload = out_;
  record->framed = false;
  return true;
}

}  // namespace monolith
