#include "core/operators/where.h"

#include <functional>

#include "core/base/fid.h"
#include "core/wire/schema.h"
#include "core/wire/wire.h"
#include "tests/check.h"

using namespace monolith;

namespace {

std::string Message(const std::function<void(wire::Writer&)>& write) {
  std::string out;
  wire::Writer w(&out);
  write(w);
  return out;
}

std::string WithLineId(const std::function<void(wire::Writer&)>& write) {
  const std::string line_id = Message(write);
  return Message([&](wire::Writer& w) { w.Bytes(schema::instance::kLineId, line_id); });
}

bool Matches(const char* expression, const std::string& record, bool keep_empty = false,
             RecordType type = RecordType::kInstance) {
  RecordView view(type, "test");
  const Where where(expression, keep_empty, &view);
  view.Load(record);
  return where.Matches(view);
}

std::string ErrorOf(const char* expression) {
  try {
    RecordView view(RecordType::kInstance, "test");
    Where(expression, false, &view);
  } catch (const Error& e) {
    CHECK_EQ(static_cast<int>(e.code()), 2);
    return e.what();
  }
  return "no error";
}

const std::string kUid2 = WithLineId([](wire::Writer& w) { w.Fixed64(2, 2); });
const std::string kActions23 = WithLineId([](wire::Writer& w) { w.Bytes(6, std::string("\x02\x03", 2)); });
const std::string kHello = WithLineId([](wire::Writer& w) { w.Bytes(49, "hello"); });

}  // namespace

TEST(vectors_b1_to_b3) {
  CHECK(Matches("uid == 2", kUid2));
  CHECK(!Matches("uid != 2", kUid2));
  CHECK(Matches("uid <= 3", kUid2));
  CHECK(Matches("uid >= 1", kUid2));
  CHECK(Matches("uid between 1 and 3", kUid2));
  CHECK(Matches("uid between [2, 3]", kUid2));
  CHECK(!Matches("uid between 1 and 2", kUid2));
  CHECK(Matches("uid in [1,2,3]", kUid2));
  CHECK(!Matches("uid not in [1,2,3]", kUid2));
  CHECK(!Matches("uid not-in [1,2,3,]", kUid2));
}

TEST(vectors_b4_to_b7_lists) {
  CHECK(Matches("actions any [1,2]", kActions23));
  CHECK(!Matches("actions any [1,4]", kActions23));
  CHECK(Matches("actions all [2,3]", kActions23));
  CHECK(!Matches("actions all [2,3,4]", kActions23));
  CHECK(!Matches("actions diff [1,4] and actions diff [1,2,4]", kActions23));
  CHECK(Matches("actions diff [1,4]", kActions23));
  CHECK(!Matches("actions diff [1,2,4]", kActions23));
  const std::string none = WithLineId([](wire::Writer&) {});
  CHECK(!Matches("actions any [1]", none, false));
  CHECK(Matches("actions any [1]", none, true));
  CHECK(Matches("actions any [1]", "", true));
}

TEST(vectors_b8_to_b12) {
  const std::string rate = WithLineId([](wire::Writer& w) { w.Float(27, 2.0f); });
  CHECK(Matches("sample_rate = 2", rate));
  CHECK(!Matches("sample_rate neq 2", rate));
  CHECK(Matches("sample_rate between 1 and 3", rate));
  CHECK(Matches("user_id == \"hello\"", kHello));
  CHECK(Matches("user_id <= 'hello1' and user_id >= 'hell'", kHello));
  CHECK(Matches("user_id between 'hell' and 'hello1'", kHello));
  CHECK(Matches("user_id in ['hello', 'world']", kHello));
  CHECK(Matches("user_id startswith 'hell'", kHello));
  CHECK(Matches("user_id endswith 'llo'", kHello));
  CHECK(!Matches("user_id endswith 'xhello'", kHello));
  CHECK(Matches("user_id startswith ['zz', 'h']", kHello));
  CHECK(Matches("sample_rate == 1 and chnid in [0] and user_id == ''", ""));
}

TEST(vectors_b13_to_b15_true_sets) {
  const std::string unsorted = WithLineId([](wire::Writer& w) { w.Bytes(6, std::string("\x03\x02", 2)); });
  CHECK(Matches("actions any 2", unsorted));
  CHECK(Matches("actions all [2,3]", unsorted));
  CHECK(!Matches("actions diff [2]", unsorted));
  const std::string twice = WithLineId([](wire::Writer& w) { w.Bytes(6, std::string("\x01\x01\x02", 3)); });
  CHECK(Matches("actions all [1,1]", twice));
  const std::string special = WithLineId([](wire::Writer& w) { w.Varint(39, 5); });
  CHECK(Matches("special_strategies any 5 and special_strategies any [4,5]", special));
  CHECK(!Matches("actions any []", twice));
  CHECK(Matches("actions all [] and actions diff []", twice));
}

TEST(numbers) {
  const std::string r = WithLineId([](wire::Writer& w) {
    w.Varint(3, static_cast<uint64_t>(-5));
    w.Fixed64(4, ~uint64_t{0});
    w.Varint(145, 0xfffffffeu);  // an int32 that a sloppy writer did not sign-extend
  });
  CHECK(Matches("req_time == -5 and req_time < 0 and req_time > -6", r));
  CHECK(Matches("item_id == 18446744073709551615 and item_id == -1 and item_id > 0 and item_id == 0xffffFFFFffffFFFF", r));
  CHECK(Matches("rank == -2", r));
  CHECK(Matches("sample_rate > .5 and sample_rate < 1.5e0 and sample_rate >= -1", r));
  const std::string tenth = WithLineId([](wire::Writer& w) { w.Float(27, 0.1f); });
  CHECK(Matches("sample_rate == 0.1 and sample_rate in [0.5, 0.1]", tenth));
}

TEST(logic) {
  CHECK(Matches("uid == 1 or uid == 2", kUid2));
  CHECK(Matches("not uid == 1 and not (uid == 3 or uid == 4)", kUid2));
  CHECK(Matches("uid == 2 or uid == 3 and uid == 4", kUid2));  // and binds tighter
  CHECK(!Matches("(uid == 2 or uid == 3) and uid == 4", kUid2));
  CHECK(!Matches("not not not uid == 2", kUid2));
  CHECK(Matches("NOT uid IN [1] AND uid BETWEEN 1 AND 3", kUid2));
  CHECK(Matches("\n(uid\n==\t2)\n", kUid2));
}

TEST(last_occurrence_wins_and_line_ids_merge) {
  const std::string a = Message([](wire::Writer& w) { w.Varint(3, 1); w.Varint(3, 2); w.Varint(19, 7); });
  const std::string b = Message([](wire::Writer& w) { w.Varint(3, 9); w.Varint(6, 4); });
  const std::string c = Message([](wire::Writer& w) { w.Bytes(6, "\x05"); });
  const std::string r = Message([&](wire::Writer& w) {
    w.Bytes(5, a);
    w.Fixed64(1, fid::MakeV1(3, 1));
    w.Bytes(5, b);
    w.Bytes(5, c);
  });
  CHECK(Matches("req_time == 9 and chnid == 7 and actions all [4, 5]", r));
  CHECK(Matches("has_slot(3)", r));
}

TEST(another_wire_type_is_an_unknown_field) {
  const std::string r = WithLineId([](wire::Writer& w) {
    w.Fixed64(3, 5);
    w.Varint(2, 5);
    w.Varint(27, 5);
    w.Varint(49, 5);
    w.Fixed32(6, 5);
  });
  CHECK(Matches("req_time == 0 and uid == 0 and sample_rate == 1 and user_id == '' and not (actions any [5])", r));
}

TEST(labels_weight_and_fids) {
  const std::string r = Message([](wire::Writer& w) {
    w.Float(3, 0.5f);
    const float more[] = {2.0f};
    w.Packed(3, more, 1);
    const uint64_t fids[] = {fid::MakeV1(2, 200), fid::MakeV1(1023, 1)};
    w.Packed(1, fids, 2);
    std::string column;
    const uint64_t v2[] = {fid::MakeV2(1024, 102400)};
    wire::Writer(&column).Packed(2, v2, 1);
    w.Bytes(9, column);
  });
  CHECK(Matches("label == 0.5 and label[1] == 2", r));
  CHECK(!Matches("label[2] <= 1e30 or label[2] != 3 or label[2] not in [4]", r));
  CHECK(Matches("instance_weight == 1", r));
  CHECK(Matches("has_slot(2) and has_slot(1023) and has_slot(1024) and not has_slot(4)", r));
  CHECK(Matches("has_fid(36028797018964168)", r));
  CHECK(!Matches("has_fid(288230376151814144)", r));
}

TEST(reserved_features_of_an_example) {
  const auto named = [](const char* name, uint32_t member, const std::string& list) {
    const std::string feature = Message([&](wire::Writer& w) { w.Bytes(member, list); });
    return Message([&](wire::Writer& w) {
      w.Bytes(1, name);
      w.Bytes(2, feature);
    });
  };
  const std::string line_id = Message([](wire::Writer& w) { w.Varint(19, 3); });
  const std::string label = Message([](wire::Writer& w) { w.Float(1, 4.0f); });
  const std::string r = Message([&](wire::Writer& w) {
    w.Bytes(1, named("__LINE_ID__", 6, Message([&](wire::Writer& v) { v.Bytes(1, line_id); })));
    w.Bytes(1, named("__LABEL__", 3, label));
    w.Bytes(1, named("instance_weight", 3, Message([](wire::Writer& v) { v.Float(1, 2.5f); })));
    w.Bytes(100, Message([](wire::Writer& v) { v.Varint(19, 8); v.Varint(3, 1); }));
    w.Float(101, 9.0f);
    w.Float(102, 9.0f);
  });
  CHECK(Matches("chnid == 3 and req_time == 0 and label == 4 and instance_weight == 2.5", r, false, RecordType::kExample));
  const std::string empty = Message([&](wire::Writer& w) { w.Bytes(1, named("__LINE_ID__", 6, "")); });
  CHECK_THROWS(Matches("chnid == 3", empty, false, RecordType::kExample), ErrorCode::kBadData);
}

TEST(errors_show_the_place) {
  CHECK_EQ(ErrorOf("chnid >= 1 and req_tme > 3"),
           "--where: unknown field \"req_tme\"; did you mean req_time?\n"
           "  chnid >= 1 and req_tme > 3\n"
           "                 ^~~~~~~");
  CHECK_EQ(ErrorOf("chnid startswith 'a'"),
           "--where: startswith is for strings, and chnid is a number\n"
           "  chnid startswith 'a'\n"
           "        ^~~~~~~~~~");
  CHECK_EQ(ErrorOf("user_id == 'ä' and chnid = 'x'"),
           "--where: chnid is a number, not a string\n"
           "  user_id == 'ä' and chnid = 'x'\n"
           "                             ^~~");
  CHECK_EQ(ErrorOf("chnid > 1 and\n  (rank == 2.5)"),
           "--where: rank is an integer, not a float\n"
           "    (rank == 2.5)\n"
           "             ^~~");
  CHECK_EQ(ErrorOf("chnid >= "),
           "--where: expected a number or a string, found the end of the expression\n"
           "  chnid >= \n"
           "           ^");
}

TEST(every_mistake_is_a_usage_error) {
  for (const char* bad :
       {"", " ", "chnid", "chnid 1", "chnid >=", "chnid >= abc", "chnid >= 1 chnid", "chnid >= 1 and", "(chnid >= 1",
        "chnid >= 1)", "1 <= chnid", "chnid in 1", "chnid in [1", "chnid in [1 2]", "chnid in ['a']", "chnid any [1]",
        "actions == 1", "actions in [1]", "actions any ['x']", "actions any [1.5]", "chnid between 1", "chnid between 1 2",
        "chnid between [1]", "chnid between [1,2,3]", "user_id == 1", "user_id == hello", "user_id any 'x'", "user_id == 'x",
        "user_id == 'a\\q'", "user_id == '\\x4'", "is_draw > 1", "is_draw == 1", "has_slot(32768)", "has_slot(-1)",
        "has_slot('a')", "has_slot", "has_fid(1.5)", "label[-1] == 1", "label[a] == 1", "label startswith 'x'",
        "chnid == 1 && rank == 2", "chnid == 1 | rank == 2", "!is_draw", "chnid == 99999999999999999999",
        "chnid == 9223372036854775808", "chnid == -9223372036854775809", "chnid == 0x", "chnid == 0xg", "chnid == 1.2.3",
        "sample_rate == 1e", "chnid == 12ab", "chnid @ 1", "not", "not-in", "chnid == $1", "chnid == true"})
    CHECK(ErrorOf(bad).rfind("--where: ", 0) == 0);
  CHECK(ErrorOf(std::string(5000, '(').c_str()).find("nested too deep") != std::string::npos);
  std::string nots;
  for (int i = 0; i < 5000; ++i) nots += "not ";
  CHECK(ErrorOf(nots.c_str()).find("nested too deep") != std::string::npos);
}

TEST(broken_records) {
  CHECK_THROWS(Matches("chnid == 0", "\x2a\x05\x01"), ErrorCode::kBadData);
  CHECK_THROWS(Matches("chnid == 0", std::string("\x2a\x02\x98\x01", 4)), ErrorCode::kBadData);
  CHECK_THROWS(Matches("has_slot(1)", "\x0a\x03\x01\x02\x03"), ErrorCode::kBadData);
  CHECK_THROWS(Matches("chnid == 0", std::string("\x00\x01", 2)), ErrorCode::kBadData);
  RecordType batch = RecordType::kExampleBatch;
  CHECK_THROWS(RecordView(batch, "pb-filter"), ErrorCode::kUsage);
}
