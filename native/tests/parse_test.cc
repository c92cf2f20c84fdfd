#include "core/parse/parse.h"

#include <cmath>
#include <deque>
#include <functional>
#include <limits>

#include "core/base/fid.h"
#include "core/parse/quantised.h"
#include "core/wire/schema.h"
#include "core/wire/wire.h"
#include "tests/check.h"

using namespace monolith;

namespace {

constexpr float kInvalid = std::numeric_limits<float>::lowest();

std::string Message(const std::function<void(wire::Writer&)>& write) {
  std::string out;
  wire::Writer w(&out);
  write(w);
  return out;
}

template <class T>
std::string List(uint32_t number, const std::vector<T>& values) {
  return Message([&](wire::Writer& w) { w.Packed(number, values.data(), values.size()); });
}

std::string FromHex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return out;
}

template <class T>
std::string Show(const std::vector<T>& values) {
  std::ostringstream s;
  s.precision(9);
  for (const T& v : values) s << v << " ";
  return s.str();
}

// The records are kept: strings of a column are views into them.
ParsedColumns Parse(const ParseSpec& spec, std::vector<std::string> given) {
  static std::deque<std::vector<std::string>> kept;
  const std::vector<std::string>& records = kept.emplace_back(std::move(given));
  const std::vector<std::string_view> views(records.begin(), records.end());
  ParsedColumns out;
  RecordParser(spec).Parse(views.data(), views.size(), &out);
  return out;
}

std::string ErrorOf(const ParseSpec& spec, const std::vector<std::string>& records) {
  try {
    Parse(spec, records);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

// The sample Instance of spec 10, TV11.
std::string Sample() {
  std::vector<uint64_t> v1, v2;
  std::vector<float> ue;
  for (uint64_t i = 0; i < 10; ++i) v1.push_back(fid::MakeV1(i, i)), v2.push_back(fid::MakeV2(100, i));
  for (int i = 0; i < 16; ++i) ue.push_back(static_cast<float>(i) * 1e-5f);
  const auto column = [](const char* name, const std::string& rest) {
    return Message([&](wire::Writer& w) {
      w.Bytes(1, name);
      w.Raw(rest);
    });
  };
  const std::string line_id = FromHex("116e00000000000000184032020064dd010000003f8a0303313233");
  return Message([&](wire::Writer& w) {
    w.Packed(1, v1.data(), v1.size());
    const float labels[] = {1.1f, 2.2f, 3.3f};
    w.Packed(3, labels, 3);
    w.Bytes(5, line_id);
    w.Bytes(9, column("fidv2", List(2, v2)));
    w.Bytes(9, column("ue", List(3, ue)));
    w.Bytes(9, column("int64_feature", Message([](wire::Writer& v) { v.Bytes(4, "\x64"); })));
    w.Bytes(9, column("string_feature", Message([](wire::Writer& v) { v.Bytes(5, "test_string"); })));
  });
}

ParseSpec Spec(RecordType type) {
  ParseSpec spec;
  spec.type = type;
  return spec;
}

std::string Named(const char* name, uint32_t member, const std::string& list) {
  const std::string feature = Message([&](wire::Writer& w) { w.Bytes(member, list); });
  return Message([&](wire::Writer& w) {
    w.Bytes(1, name);
    w.Bytes(2, feature);
  });
}

std::string Example(const std::vector<std::string>& named, const std::string& rest = "") {
  return Message([&](wire::Writer& w) {
    for (const std::string& n : named) w.Bytes(1, n);
    w.Raw(rest);
  });
}

}  // namespace

TEST(tv11_slots_and_v2) {
  ParseSpec spec = Spec(RecordType::kInstance);
  for (int i = 0; i < 10; ++i) spec.fidv1.push_back({i, "slot_" + std::to_string(i)});
  spec.fidv2 = {"fidv2", "fidv2_2"};
  const ParsedColumns out = Parse(spec, {Sample(), Sample()});
  CHECK_EQ(out.rows, 2u);
  CHECK_EQ(out.sparse.size(), 12u);
  CHECK_EQ(out.sparse[1].name, "slot_1");
  CHECK_EQ(Show(out.sparse[1].values), "281474976710657 281474976710657 ");
  CHECK_EQ(Show(out.sparse[1].row_splits), "0 1 2 ");
  CHECK_EQ(out.sparse[10].values.size(), 20u);
  CHECK_EQ(out.sparse[10].values.front(), 28147497671065600);
  CHECK_EQ(out.sparse[10].values.back(), 28147497671065609);
  CHECK_EQ(Show(out.sparse[10].row_splits), "0 10 20 ");
  CHECK_EQ(Show(out.sparse[11].row_splits), "0 0 0 ");
}

TEST(tv11_v1_stays_v1) {
  ParseSpec spec = Spec(RecordType::kInstance);
  spec.fidv1 = {{1, "slot_1"}, {10, "slot_10"}};
  const ParsedColumns out = Parse(spec, {Sample()});
  CHECK_EQ(Show(out.sparse[0].values), "18014398509481985 ");
  CHECK_EQ(Show(out.sparse[1].row_splits), "0 0 ");
}

TEST(tv11_dense_and_extra) {
  ParseSpec spec = Spec(RecordType::kInstance);
  spec.dense = {{"ue", 16, ColumnType::kFloat}, {"int64_feature", 1, ColumnType::kInt64},
                {"string_feature", 1, ColumnType::kString}, {"label", 3, ColumnType::kFloat},
                {"ue2", 8, ColumnType::kFloat}, {"no_int", 2, ColumnType::kInt64}, {"no_string", 2, ColumnType::kString},
                {"instance_weight", 1, ColumnType::kFloat}};
  spec.extra = {{"sample_rate", 1}, {"uid", 1}, {"actions", 2}, {"user_id", 1}, {"req_time", 1}};
  const std::string a = Sample(), b = Sample();
  const ParsedColumns out = Parse(spec, {a, b});
  CHECK_EQ(out.dense[0].floats.size(), 32u);
  CHECK_EQ(out.dense[0].floats[31], 15 * 1e-5f);
  CHECK_EQ(Show(out.dense[1].ints), "100 100 ");
  CHECK_EQ(Show(out.dense[2].strings), "test_string test_string ");
  CHECK_EQ(Show(out.dense[3].floats), "1.10000002 2.20000005 3.29999995 1.10000002 2.20000005 3.29999995 ");
  CHECK_EQ(Show(out.dense[4].floats), Show(std::vector<float>(16)));
  CHECK_EQ(Show(out.dense[5].ints), "0 0 0 0 ");
  CHECK_EQ(Show(out.dense[6].strings), "    ");
  CHECK_EQ(Show(out.dense[7].floats), "1 1 ");
  CHECK_EQ(Show(out.extra[0].floats), "0.5 0.5 ");
  CHECK_EQ(Show(out.extra[1].ints), "110 110 ");
  CHECK_EQ(Show(out.extra[2].ints), "0 100 0 100 ");
  CHECK_EQ(Show(out.extra[3].strings), "123 123 ");
  CHECK_EQ(Show(out.extra[4].ints), "64 64 ");
}

TEST(instance_rules) {
  ParseSpec spec = Spec(RecordType::kInstance);
  spec.fidv2 = {"s"};
  spec.dense = {{"d", 2, ColumnType::kFloat}, {"label", 2, ColumnType::kFloat}, {"instance_weight", 2, ColumnType::kFloat}};
  spec.extra = {{"sample_rate", 2}, {"actions", 1}, {"rank", 1}};
  const auto column = [](const char* name, const std::string& rest) {
    return Message([&](wire::Writer& w) {
      w.Raw(rest);
      w.Bytes(1, name);  // behind the values: still found
    });
  };
  const std::string lists = Message([](wire::Writer& w) {
    w.Bytes(6, List<uint64_t>(1, {3}));
    w.Fixed64(2, 1);
    w.Bytes(6, List<uint64_t>(1, {4, 5}));
    w.Bytes(2, std::string("\x02\0\0\0\0\0\0\0", 8));
  });
  const std::string record = Message([&](wire::Writer& w) {
    w.Bytes(9, column("s", lists));
    w.Bytes(9, column("s", List<uint64_t>(2, {6})));
    w.Bytes(9, column("d", List<float>(3, {7, 8})));
    w.Bytes(9, column("d", Message([](wire::Writer& v) { v.Float(3, 9); v.Float(3, 10); })));
    w.Float(3, 0.5f);
    w.Float(4, 4.0f);
    w.Bytes(5, Message([](wire::Writer& v) { v.Varint(145, static_cast<uint64_t>(-7)); v.Varint(6, 3); }));
    w.Bytes(5, Message([](wire::Writer& v) { v.Varint(6, 4); }));
  });
  ParsedColumns out = Parse(spec, {record});
  CHECK_EQ(Show(out.sparse[0].values), "1 2 3 4 5 6 ");
  CHECK_EQ(Show(out.dense[0].floats), "9 10 ");
  CHECK_EQ(Show(out.dense[1].floats), "0.5 0 ");
  CHECK_EQ(Show(out.dense[2].floats), "4 0 ");
  CHECK_EQ(Show(out.extra[0].floats), "1 0 ");
  CHECK_EQ(Show(out.extra[1].ints), "3 ");
  CHECK_EQ(Show(out.extra[2].ints), "-7 ");
  // Any other length gives zeros, also where a right one came before.
  const std::string wrong = Message([&](wire::Writer& w) {
    w.Bytes(9, column("d", List<float>(3, {7, 8})));
    w.Bytes(9, column("d", List<float>(3, {7})));
  });
  out = Parse(spec, {wrong});
  CHECK_EQ(Show(out.dense[0].floats), "0 0 ");
}

TEST(tv18_quantised) {
  const std::string q = "UE_QTZ" + FromHex("662e1a453300" "99ff6ba3d6");
  const float expected[] = {1.1f, 0.1f, 3.1f, 5.1f, 2.2f, 3.3f, 4.3f};
  CHECK_EQ(QuantisedSize(q), 7u);
  float out[7];
  DecodeQuantised(q, out);
  for (int i = 0; i < 7; ++i) CHECK(std::fabs(out[i] - expected[i]) < 1e-2);
  const std::string halves = "UE_QTZ" + FromHex("003c00c00000007c");
  DecodeQuantised(halves, out);
  CHECK_EQ(QuantisedSize(halves), 4u);
  CHECK_EQ(out[0], 1.00048828125f);
  CHECK_EQ(out[1], -2.0009765625f);
  CHECK_EQ(out[2], 0.0f);
  CHECK_EQ(out[3], 65536.0f);
  CHECK_EQ(HalfToFloat(0x0001, false), std::ldexp(1.0f, -24));
  CHECK_THROWS(QuantisedSize("UE_QTZabc"), ErrorCode::kBadData);
}

TEST(quantised_column_of_an_instance) {
  ParseSpec spec = Spec(RecordType::kInstance);
  spec.dense = {{"q", 2, ColumnType::kFloat}};
  const auto record = [](const std::vector<std::string>& bytes) {
    const std::string column = Message([&](wire::Writer& w) {
      w.Bytes(1, "q");
      w.Bytes(3, std::string("\0\0\x80\x3f\0\0\x80\x3f", 8));
      for (const std::string& b : bytes) w.Bytes(5, b);
    });
    return Message([&](wire::Writer& w) { w.Bytes(9, column); });
  };
  const std::string good = "UE_QTZ" + FromHex("003c00c0");
  CHECK_EQ(Show(Parse(spec, {record({"UE_QTZ" + FromHex("0000"), "x", good})}).dense[0].floats), "1.00048828 -2.00097656 ");
  CHECK_EQ(Show(Parse(spec, {record({"x"})}).dense[0].floats), "1 1 ");
  CHECK_EQ(Show(Parse(spec, {record({good, "UE_QTZ"})}).dense[0].floats), "1 1 ");
  CHECK_EQ(ErrorOf(spec, {record({}), record({"UE_QTZ" + FromHex("003c")})}),
           "record 1: feature q: a quantised column of 1 values, wanted are 2");
}

TEST(tv12_example_defaults) {
  ParseSpec spec = Spec(RecordType::kExample);
  spec.dense = {{"label", 3, ColumnType::kFloat}, {"instance_weight", 1, ColumnType::kFloat}, {"x", 1, ColumnType::kFloat},
                {"x2", 2, ColumnType::kFloat}, {"x4", 4, ColumnType::kFloat}};
  spec.fidv2 = {"f_u", "y"};
  const std::string label = Message([](wire::Writer& w) { w.Float(101, 0.5f); });
  const std::string x123 = List<float>(1, {1, 2, 3});
  const ParsedColumns out = Parse(
      spec, {Example({Named("x", 3, ""), Named("x2", 3, x123), Named("x4", 3, x123), Named("f_u", 1, List<uint64_t>(1, {fid::MakeV1(1, 9)}))}, label),
             Example({}, "")});
  CHECK_EQ(Show(out.dense[0].floats), Show(std::vector<float>{0.5f, kInvalid, kInvalid, kInvalid, kInvalid, kInvalid}));
  CHECK_EQ(Show(out.dense[1].floats), "1 1 ");
  CHECK_EQ(Show(out.dense[2].floats), "1.17549435e-38 0 ");
  CHECK_EQ(Show(out.dense[3].floats), "1 2 0 0 ");
  CHECK_EQ(Show(out.dense[4].floats), "1 2 3 0 0 0 0 0 ");
  CHECK_EQ(Show(out.sparse[0].values), "281474976710665 ");
  CHECK_EQ(Show(out.sparse[0].row_splits), "0 1 1 ");
  CHECK_EQ(Show(out.sparse[1].row_splits), "0 0 0 ");
}

TEST(tv8_example) {
  ParseSpec spec = Spec(RecordType::kExample);
  spec.fidv2 = {"f_u"};
  spec.dense = {{"label", 1, ColumnType::kFloat}, {"instance_weight", 1, ColumnType::kFloat}};
  spec.extra = {{"uid", 1}, {"chnid", 1}, {"actions", 1}, {"sample_rate", 1}};
  const ParsedColumns out = Parse(spec, {FromHex("0a150a03665f75120c120a0a0809000000000001001801a20609110500000000000000"
                                                 "aa06040000803fb50600000040b8068002")});
  CHECK_EQ(Show(out.sparse[0].values), std::to_string(fid::MakeV2(1, 9)) + " ");
  CHECK_EQ(Show(out.dense[0].floats) + Show(out.dense[1].floats), "1 2 ");
  CHECK_EQ(Show(out.extra[0].ints) + Show(out.extra[1].ints) + Show(out.extra[2].ints), "5 0 0 ");
  CHECK_EQ(Show(out.extra[3].floats), "1 ");
}

TEST(example_rules) {
  ParseSpec spec = Spec(RecordType::kExample);
  spec.fidv2 = {"s"};
  spec.dense = {{"f", 1, ColumnType::kFloat}, {"i", 2, ColumnType::kInt64}, {"b", 1, ColumnType::kString},
                {"label", 1, ColumnType::kFloat}, {"instance_weight", 1, ColumnType::kFloat}};
  spec.extra = {{"chnid", 1}};
  const std::string two_in_pieces = Message([](wire::Writer& w) {
    w.Bytes(1, "s");
    const std::string first = Message([](wire::Writer& v) { v.Bytes(3, List<float>(1, {1})); v.Bytes(2, List<uint64_t>(1, {7})); });
    w.Bytes(2, first);
    w.Bytes(2, Message([](wire::Writer& v) { v.Bytes(2, Message([](wire::Writer& u) { u.Fixed64(1, 8); })); }));
  });
  const std::string reserved_line_id =
      Named("__LINE_ID__", 6, Message([](wire::Writer& w) { w.Bytes(1, std::string("\x98\x01\x05", 3)); }));
  const std::string rest = Message([](wire::Writer& w) {
    w.Bytes(100, std::string("\x98\x01\x09", 3));
    w.Float(101, 3);
    w.Float(102, 3);
  });
  // What comes twice: the last one. Reserved features replace the fields.
  const ParsedColumns out =
      Parse(spec, {Example({Named("s", 2, List<uint64_t>(1, {1, 2})), two_in_pieces, Named("f", 4, List<double>(1, {0.25, 1})),
                            Named("i", 5, std::string("\x0a\x02\x05\x06", 4)), Named("i", 5, std::string("\x0a\x01\x07", 3)),
                            Named("b", 6, Message([](wire::Writer& w) { w.Bytes(1, "x"); w.Bytes(1, "y"); })),
                            reserved_line_id, Named("__LABEL__", 3, List<float>(1, {6})),
                            Named("instance_weight", 3, List<float>(1, {-2}))}, rest)});
  CHECK_EQ(Show(out.sparse[0].values), "7 8 ");
  CHECK_EQ(Show(out.dense[0].floats), "0.25 ");
  CHECK_EQ(Show(out.dense[1].ints), "7 0 ");
  CHECK_EQ(Show(out.dense[2].strings), "x ");
  CHECK_EQ(Show(out.dense[3].floats), "6 ");
  CHECK_EQ(Show(out.dense[4].floats), "-2 ");
  CHECK_EQ(Show(out.extra[0].ints), "5 ");
  // Lists of lists, single values and unset features count as missing.
  const ParsedColumns missing = Parse(spec, {Example({Named("s", 7, ""), Named("f", 8, ""), Named("i", 10, ""), Named("label", 15, "")}, rest)});
  CHECK_EQ(Show(missing.sparse[0].row_splits), "0 0 ");
  CHECK_EQ(Show(missing.dense[0].floats) + Show(missing.dense[3].floats), "0 0 ");
  CHECK_EQ(Show(missing.extra[0].ints), "9 ");
}

TEST(example_errors_name_the_feature) {
  ParseSpec spec = Spec(RecordType::kExample);
  spec.fidv2 = {"s"};
  spec.dense = {{"f", 1, ColumnType::kFloat}, {"i", 1, ColumnType::kInt64}, {"b", 1, ColumnType::kString}};
  spec.extra = {{"uid", 1}};
  CHECK_EQ(ErrorOf(spec, {Example({Named("s", 3, "")})}), "record 0: feature s: holds float_list, wanted are fids");
  CHECK_EQ(ErrorOf(spec, {Example({Named("f", 1, "")})}), "record 0: feature f: holds fid_v1_list, wanted are floats");
  CHECK_EQ(ErrorOf(spec, {Example({Named("i", 3, "")})}), "record 0: feature i: holds float_list, wanted are int64");
  CHECK_EQ(ErrorOf(spec, {Example({Named("i", 5, "")})}), "record 0: feature i: an empty int64_list");
  CHECK_EQ(ErrorOf(spec, {"", Example({Named("b", 6, "")})}), "record 1: feature b: an empty bytes_list");
  CHECK_EQ(ErrorOf(spec, {Example({Named("b", 5, "")})}), "record 0: feature b: holds int64_list, wanted are strings");
  CHECK_EQ(ErrorOf(spec, {Example({Named("__LINE_ID__", 6, "")})}), "record 0: feature __LINE_ID__: has no bytes");
}

TEST(tv8_example_batch) {
  ParseSpec spec = Spec(RecordType::kExampleBatch);
  spec.fidv2 = {"u", "none"};
  spec.dense = {{"d", 2, ColumnType::kFloat}, {"label", 1, ColumnType::kFloat}, {"instance_weight", 1, ColumnType::kFloat}};
  spec.extra = {{"uid", 1}, {"sample_rate", 1}};
  const std::string batch = FromHex(
      "0a150a0175120c0a0a0a080900000000004000180120010a1d0a0164120c1a0a0a080000803f0000004012081a060a040000404020020a2b0a"
      "0b5f5f4c494e455f49445f5f120d320b0a09110700000000000000120d320b0a091108000000000000000a1f0a095f5f4c4142454c5f5f1208"
      "1a060a040000000012081a060a040000803f1802");
  const ParsedColumns out = Parse(spec, {batch, batch});
  CHECK_EQ(out.rows, 4u);
  CHECK_EQ(Show(out.sparse[0].values), "281474976710665 281474976710665 281474976710665 281474976710665 ");
  CHECK_EQ(Show(out.sparse[0].row_splits), "0 1 2 3 4 ");
  CHECK_EQ(Show(out.sparse[1].row_splits), "0 0 0 0 0 ");
  CHECK_EQ(Show(out.dense[0].floats), "1 2 3 0 1 2 3 0 ");
  CHECK_EQ(Show(out.dense[1].floats), "0 1 0 1 ");
  CHECK_EQ(Show(out.dense[2].floats), "1 1 1 1 ");
  CHECK_EQ(Show(out.extra[0].ints), "7 8 7 8 ");
  CHECK_EQ(Show(out.extra[1].floats), "1 1 1 1 ");
}

TEST(example_batch_rules) {
  ParseSpec spec = Spec(RecordType::kExampleBatch);
  spec.fidv2 = {"s"};
  spec.dense = {{"label", 2, ColumnType::kFloat}, {"instance_weight", 1, ColumnType::kFloat}, {"b", 1, ColumnType::kString}};
  spec.extra = {{"actions", 2}};
  const auto column = [](const char* name, bool shared, uint32_t member, const std::vector<std::string>& rows) {
    const std::string body = Message([&](wire::Writer& w) {
      w.Bytes(1, name);
      for (const std::string& row : rows) w.Bytes(2, Message([&](wire::Writer& v) { v.Bytes(member, row); }));
      if (shared) w.Varint(3, 1);
    });
    return Message([&](wire::Writer& w) { w.Bytes(1, body); });
  };
  const std::string size3 = "\x18\x03";
  const std::string line_id = Message([](wire::Writer& w) { w.Bytes(1, std::string("\x32\x01\x09", 3)); });
  const std::string shared = column("s", true, 2, {List<uint64_t>(1, {4, 5})}) + column("__LABEL__", true, 3, {List<float>(1, {2})}) +
                             column("instance_weight", true, 3, {List<float>(1, {0.5f})}) + column("__LINE_ID__", true, 6, {line_id}) +
                             column("b", true, 6, {Message([](wire::Writer& w) { w.Bytes(1, "q"); })}) + size3;
  ParsedColumns out = Parse(spec, {shared});
  CHECK_EQ(Show(out.sparse[0].values), "4 5 4 5 4 5 ");
  CHECK_EQ(Show(out.sparse[0].row_splits), "0 2 4 6 ");
  CHECK_EQ(Show(out.dense[0].floats), "2 0 2 0 2 0 ");
  CHECK_EQ(Show(out.dense[1].floats), "0.5 0.5 0.5 ");
  CHECK_EQ(Show(out.dense[2].strings), "q q q ");
  CHECK_EQ(Show(out.extra[0].ints), "9 0 9 0 9 0 ");
  // Columns that are not there, an empty weight, the last of two columns.
  out = Parse(spec, {size3, column("s", false, 1, {"", List<uint64_t>(1, {fid::MakeV1(1, 9)}), ""}) +
                                column("s", false, 2, {"", "", List<uint64_t>(1, {6})}) +
                                column("instance_weight", false, 3, {"", List<float>(1, {-1}), List<float>(1, {3})}) + size3});
  CHECK_EQ(Show(out.sparse[0].row_splits), "0 0 0 0 0 0 1 ");
  CHECK_EQ(Show(out.sparse[0].values), "6 ");
  CHECK_EQ(Show(out.dense[0].floats), Show(std::vector<float>(12)));
  CHECK_EQ(Show(out.dense[1].floats), "1 1 1 1 1 3 ");
  CHECK_EQ(Parse(spec, {"", ""}).rows, 0u);
  CHECK_EQ(ErrorOf(spec, {column("s", false, 2, {"", ""}) + size3}), "record 0: feature s: 2 entries for 3 rows");
  CHECK_EQ(ErrorOf(spec, {column("s", true, 2, {}) + size3}), "record 0: feature s: 0 entries for a shared column");
  CHECK_EQ(ErrorOf(spec, {Message([](wire::Writer& w) { w.Varint(3, 2000000000); })}), "record 0: a batch_size of 2000000000");
  CHECK_EQ(ErrorOf(spec, {Message([](wire::Writer& w) { w.Varint(3, static_cast<uint64_t>(-1)); })}), "record 0: a batch_size of -1");
}

TEST(memory_is_reused_and_record_numbers_go_on) {
  ParseSpec spec = Spec(RecordType::kInstance);
  spec.fidv1 = {{1, "slot_1"}};
  spec.dense = {{"label", 1, ColumnType::kFloat}};
  const RecordParser parser(spec);
  ParsedColumns out;
  RecordBatch batch;
  batch.bytes = Sample() + Sample();
  batch.offsets = {0, batch.bytes.size() / 2, batch.bytes.size()};
  batch.first = 1000;
  parser.Parse(batch, &out);
  CHECK_EQ(Show(out.sparse[0].row_splits), "0 1 2 ");
  const std::string_view empty = "";
  parser.Parse(&empty, 1, &out);
  CHECK_EQ(out.rows, 1u);
  CHECK_EQ(Show(out.sparse[0].row_splits) + Show(out.dense[0].floats), "0 0 0 ");
  batch.bytes[batch.offsets[1]] = '\x0b';
  try {
    parser.Parse(batch, &out);
    CHECK(false);
  } catch (const BadRecord& e) {
    CHECK(std::string(e.what()).rfind("record 1001: ", 0) == 0);
  }
  batch.type = RecordType::kExample;
  CHECK_THROWS(parser.Parse(batch, &out), ErrorCode::kConfig);
}

TEST(specs_that_cannot_be_right) {
  const auto rejected = [](const std::function<void(ParseSpec&)>& change, RecordType type = RecordType::kInstance) {
    ParseSpec spec = Spec(type);
    change(spec);
    try {
      RecordParser parser(spec);
    } catch (const Error& e) {
      CHECK(e.code() == ErrorCode::kConfig);
      return std::string(e.what());
    }
    return std::string("no error");
  };
  using S = ParseSpec;
  CHECK_EQ(rejected([](S& s) { s.extra = {{"did", 1}}; }), "extra feature did is not in line id");
  CHECK_EQ(rejected([](S& s) { s.extra = {{"is_draw", 1}}; }), "extra feature is_draw is not in line id");
  CHECK_EQ(rejected([](S& s) { s.fidv2 = {"a"}; s.dense = {{"a", 1, ColumnType::kFloat}}; }),
           "feature a is wanted twice; names must be unique");
  CHECK_EQ(rejected([](S& s) { s.fidv1 = {{1024, "a"}}; }), "feature a: slot should be less than 1024, while got 1024");
  CHECK_EQ(rejected([](S& s) { s.fidv1 = {{1, "a"}, {1, "b"}}; }), "slot 1 is wanted twice");
  CHECK_EQ(rejected([](S& s) { s.dense = {{"a", 0, ColumnType::kFloat}}; }), "feature a: its shape must be at least 1, not 0");
  CHECK_EQ(rejected([](S& s) { s.dense = {{"label", 1, ColumnType::kInt64}}; }), "feature label must be float");
  CHECK_EQ(rejected([](S& s) { s.dense = {{"a", 2, ColumnType::kString}}; }, RecordType::kExample),
           "feature a: strings of examples have shape 1, not 2");
  CHECK(rejected([](S& s) { s.fidv1 = {{1, "a"}}; }, RecordType::kExample) != "no error");
}
