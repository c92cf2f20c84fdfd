#include "core/wire/layout.h"

#include "core/records/line_id.h"
#include "tests/check.h"

using namespace monolith;

namespace {

std::string LineId(uint64_t uid, int64_t req_time, int64_t chnid, std::string_view user) {
  std::string out;
  wire::Writer w(&out);
  w.Fixed64(2, uid);
  w.Varint(3, static_cast<uint64_t>(req_time));
  w.Bytes(49, user);
  w.Varint(19, static_cast<uint64_t>(chnid));
  return out;
}

bool Describe(std::string_view message, wire::Layout* layout) {
  wire::DecisiveBytes decisive(message);
  wire::Reader reader(message);
  wire::Field field;
  size_t at = 0;
  while (reader.Next(&field))
    if (!decisive.Add(field, &at)) return false;
  layout->Remember(decisive);
  return true;
}

}  // namespace

TEST(a_layout_is_decided_by_tags_lengths_and_the_length_of_numbers) {
  wire::Layout layout;
  CHECK(!layout.Fits(""));
  CHECK(Describe(LineId(1, 1622667900, 3, "ab"), &layout));
  CHECK(layout.Fits(LineId(~uint64_t{0}, 1622667901, 100, "\xff\x80")));
  CHECK(!layout.Fits(LineId(1, 1622667900, 3, "abc")));
  CHECK(!layout.Fits(LineId(1, 1622667900, 300, "a")));   // as long, but otherwise divided
  CHECK(!layout.Fits(LineId(1, 16226679, 300, "abc")));
  std::string other = LineId(1, 1622667900, 3, "ab");
  other[0] = 4 << 3 | 1;
  CHECK(!layout.Fits(other));
}

TEST(some_messages_are_not_remembered) {
  wire::Layout layout;
  CHECK(!Describe(LineId(1, -1, 3, "ab"), &layout));  // a number of ten bytes
  std::string group;
  wire::Writer w(&group);
  w.Fixed64(2, 1);
  w.Tag(77, wire::Type::kStartGroup);
  w.Tag(77, wire::Type::kEndGroup);
  CHECK(!Describe(group, &layout));
}

TEST(messages_that_never_fit_are_learned_ever_more_rarely) {
  wire::Layout layout;
  int learned = 0;
  for (int i = 0; i < 1000; ++i) learned += layout.Miss();
  CHECK_EQ(learned, 10);
}

TEST(line_ids_read_the_same_by_layout) {
  LineIdReader reader;
  const int uid = reader.Want(*FindLineIdField("uid")), time = reader.Want(*FindLineIdField("req_time"));
  const int user = reader.Want(*FindLineIdField("user_id")), chnid = reader.Want(*FindLineIdField("chnid"));
  for (int64_t i = -3; i < 300; ++i) {
    const std::string text(static_cast<size_t>(i & 3), 'x');
    const std::string message = LineId(static_cast<uint64_t>(i) << 50, i * 1000, i, text);
    reader.Reset();
    reader.Merge(message, message.data());
    CHECK_EQ(reader.Uint(uid), static_cast<uint64_t>(i) << 50);
    CHECK_EQ(reader.Int(time), i * 1000);
    CHECK_EQ(reader.Int(chnid), i);
    CHECK_EQ(reader.String(user), text);
  }
}
