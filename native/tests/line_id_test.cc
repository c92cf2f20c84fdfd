#include "core/records/line_id.h"

#include <set>

#include "core/wire/schema.h"
#include "core/wire/wire.h"
#include "tests/check.h"

using namespace monolith;

TEST(table_is_sound) {
  std::set<uint32_t> numbers;
  for (const LineIdField& f : kLineIdFields) {
    CHECK(f.number < kLineIdNumbers);
    CHECK(numbers.insert(f.number).second);
    CHECK_EQ(FindLineIdField(f.name)->number, f.number);
  }
  CHECK(!FindLineIdField("nope"));
  CHECK_EQ(FindLineIdField("data_source_name")->number, schema::line_id::kDataSourceName);
}

TEST(reads_what_is_wanted) {
  std::string message;
  wire::Writer w(&message);
  w.Fixed64(2, 110);
  w.Varint(3, 64);
  w.Bytes(6, std::string("\x00\x64", 2));
  w.Float(27, 0.5f);
  w.Bytes(49, "123");
  w.Varint(1000, 1);
  LineIdReader reader;
  const int uid = reader.Want(*FindLineIdField("uid")), rate = reader.Want(*FindLineIdField("sample_rate"));
  const int user = reader.Want(*FindLineIdField("user_id")), actions = reader.Want(*FindLineIdField("actions"));
  CHECK_EQ(reader.Want(*FindLineIdField("uid")), uid);
  reader.Merge(message, message.data());
  CHECK_EQ(reader.Uint(uid), 110u);
  CHECK_EQ(reader.Float(rate), 0.5f);
  CHECK_EQ(reader.String(user), "123");
  CHECK_EQ(reader.List(actions).size(), 2u);
  CHECK_EQ(reader.List(actions)[1], 100);
  reader.Reset();
  CHECK_EQ(reader.Float(rate), 1.0f);
  CHECK_EQ(reader.Uint(uid), 0u);
  CHECK(reader.String(user).empty() && reader.List(actions).empty());
}

TEST(nearest_name) {
  CHECK_EQ(NearestName("req_tme", {"uid", "req_time"}), "req_time");
  CHECK_EQ(NearestName("zzzzzz", {"uid", "req_time"}), "");
}
