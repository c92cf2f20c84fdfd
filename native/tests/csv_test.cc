#include "core/records/csv.h"

#include <algorithm>
#include <cstring>

#include "check.h"
#include "core/base/fid.h"
#include "core/records/csv_cells.h"

using namespace monolith;  // NOLINT

namespace {

// Gives its bytes in pieces of a size, as a pipe may.
class Pieces : public ByteSource {
 public:
  Pieces(std::string bytes, size_t piece) : ByteSource("pieces"), bytes_(std::move(bytes)), piece_(piece) {}
  size_t Read(char* to, size_t n) override {
    n = std::min({n, piece_, bytes_.size() - at_});
    std::memcpy(to, bytes_.data() + at_, n);
    at_ += n;
    return n;
  }

 private:
  std::string bytes_;
  size_t piece_, at_ = 0;
};

struct Rows {
  std::vector<std::string> rows;
  std::vector<uint64_t> offsets, lines;
};

Rows ReadRows(const std::string& text, size_t piece, RowOptions options) {
  RowReader reader(std::make_shared<Pieces>(text, piece), options);
  Rows rows;
  Record record;
  while (reader.Next(&record)) {
    rows.rows.emplace_back(record.payload);
    rows.offsets.push_back(record.offset);
    rows.lines.push_back(reader.line());
  }
  return rows;
}

std::string Join(const std::vector<std::string_view>& cells) {
  std::string all;
  for (const auto c : cells) all.append("[").append(c).append("]");
  return all;
}

std::string Split(const std::string& row, const std::string& separator, bool quote) {
  std::vector<std::string_view> cells;
  CellSplitter splitter(separator, quote);
  splitter.Split(row, &cells);
  return Join(cells);
}

}  // namespace

TEST(rows_in_any_pieces) {
  const std::string text = "\xef\xbb\xbf" "a,\"b\nc\"\r\n\r\n\nd,e\"f\n\"g\"\"\n\",h\nlast";
  RowOptions options;
  options.quote = true;
  for (size_t piece = 1; piece < 12; ++piece) {
    const Rows rows = ReadRows(text, piece, options);
    CHECK_EQ(rows.rows.size(), 4u);
    CHECK(rows.rows == (std::vector<std::string>{"a,\"b\nc\"", "d,e\"f", "\"g\"\"\n\",h", "last"}));
    CHECK(rows.offsets == (std::vector<uint64_t>{3, 15, 21, 30}));
    CHECK(rows.lines == (std::vector<uint64_t>{1, 5, 6, 8}));
  }
  options.quote = false;
  CHECK_EQ(ReadRows(text, 5, options).rows.size(), 6u);
  options.skip_empty = false;
  CHECK_EQ(ReadRows(text, 5, options).rows.size(), 8u);
}

TEST(header_is_no_record) {
  RowOptions options;
  options.header = true;
  RowReader reader(std::make_shared<Pieces>("a,b\n1,2\n", 3), options);
  CHECK_EQ(reader.Header(), std::string("a,b"));
  Record record;
  CHECK(reader.Next(&record));
  CHECK_EQ(record.payload, std::string_view("1,2"));
  CHECK(!reader.Next(&record));
  RowReader empty(std::make_shared<Pieces>("", 3), options);
  CHECK_EQ(empty.Header(), std::string(""));
  CHECK(!empty.Next(&record));
}

TEST(what_is_at_hand_is_known) {
  RowOptions options;
  RowReader reader(std::make_shared<Pieces>("a\nb\nc\nd", 5), options);
  Record record;
  CHECK(!reader.Buffered());
  CHECK(reader.Next(&record));
  CHECK(reader.Buffered());
  CHECK(reader.Next(&record));
  CHECK(!reader.Buffered());  // of the third row only the text came
  CHECK(reader.Next(&record));
  CHECK(reader.Next(&record));
  CHECK_EQ(record.payload, std::string_view("d"));
}

TEST(long_rows_end_somewhere) {
  RowOptions options;
  options.max_row_bytes = 1 << 19;
  CHECK_THROWS(ReadRows(std::string(2 << 20, 'x'), 1 << 16, options), ErrorCode::kBadData);
  CHECK_EQ(ReadRows(std::string(1 << 18, 'x') + "\ny", 1 << 16, options).rows.size(), 2u);
}

TEST(cells) {
  CHECK_EQ(Split("", ",", true), std::string("[]"));
  CHECK_EQ(Split(",", ",", false), std::string("[][]"));
  CHECK_EQ(Split("a,\"b,\"\"c\"\"\",", ",", true), std::string("[a][b,\"c\"][]"));
  CHECK_EQ(Split("a,\"b\"", ",", false), std::string("[a][\"b\"]"));
  CHECK_EQ(Split("a\"b\",\"\"", ",", true), std::string("[a\"b\"][]"));
  CHECK_EQ(Split("1::2::::3:", "::", false), std::string("[1][2][][3:]"));
  CHECK_THROWS(Split("\"a\"b", ",", true), ErrorCode::kBadData);
  std::string wide, expected;
  for (int i = 0; i < 100; ++i) {
    wide += std::string(static_cast<size_t>(i % 7), 'x') + ",";
    expected += "[" + std::string(static_cast<size_t>(i % 7), 'x') + "]";
  }
  CHECK_EQ(Split(wide, ",", true), expected + "[]");
}

TEST(numbers) {
  uint64_t u = 0;
  CHECK(ParseInteger(" 18446744073709551615 ", &u) && u == UINT64_MAX);
  CHECK(ParseInteger("-9223372036854775808", &u) && u == uint64_t{1} << 63);
  CHECK(ParseInteger("+7", &u) && u == 7);
  for (const char* bad : {"", " ", "+", "-", "--1", "+-1", "1 2", "0x10", "1e3", "-9223372036854775809"}) CHECK(!ParseInteger(bad, &u));
  float f = 0;
  CHECK(ParseFloat("1e400", &f) == false || f > 3e38f);
  CHECK(ParseFloat("1e39", &f) && f > 3.4e38f);
  CHECK(ParseFloat("-0.5", &f) && f == -0.5f);
  CHECK(ParseFloat("+.5", &f) && f == 0.5f);
  CHECK(ParseFloat("nan", &f) && f != f);
  for (const char* bad : {"", " ", "x", "1.0x", "+-1", "1,5"}) CHECK(!ParseFloat(bad, &f));
}

TEST(schemas_are_checked) {
  CsvSchema schema;
  CHECK_THROWS(CsvOperator{schema}, ErrorCode::kConfig);
  schema.columns.emplace_back();
  schema.columns[0].name = "x";
  CsvOperator{schema};
  schema.separator = "\n";
  CHECK_THROWS(CsvOperator{schema}, ErrorCode::kConfig);
}
