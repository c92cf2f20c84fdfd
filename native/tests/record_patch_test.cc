#include "core/operators/record_patch.h"

#include <cmath>

#include "core/operators/record_view.h"
#include "tests/check.h"

using namespace monolith;

namespace {

std::string Bytes(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return out;
}

std::string Hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char c : bytes) out += {digits[c >> 4], digits[c & 15]};
  return out;
}

const LineIdField& Field(const char* name) { return *FindLineIdField(name); }
constexpr float kInvalid = -3.4028234663852886e38f;

template <class Set>
std::string Patched(RecordType type, const char* hex, Set set) {
  RecordPatch patch(type);
  const std::string record = Bytes(hex), other = Bytes("1a040000803f");
  patch.Load(other);  // what was set for another record is forgotten
  patch.SetLabels({});
  patch.Load(record);
  set(patch);
  return Hex(patch.Apply());
}

template <class Set>
std::string Instance(const char* hex, Set set) { return Patched(RecordType::kInstance, hex, set); }
template <class Set>
std::string Example(const char* hex, Set set) { return Patched(RecordType::kExample, hex, set); }

}  // namespace

TEST(vectors_of_the_operators) {
  CHECK_EQ(Instance("1a04000000002a09320103dd010000003f", [](RecordPatch& p) {
             static const std::vector<float> labels = {kInvalid, -1, kInvalid};
             p.SetFloat(p.Want(Field("sample_rate")), 0.25f);
             p.SetLabels(labels);
           }), "1a0cffff7fff000080bfffff7fff2a09320103dd010000803e");  // C11
  CHECK_EQ(Instance("1a04000000402a03980164", [](RecordPatch& p) {
             static const std::vector<float> labels = {kInvalid, kInvalid, kInvalid, 2, kInvalid};
             p.SetLabels(labels);
           }), "1a14ffff7fffffff7fffffff7fff00000040ffff7fff2a03980164");  // C17
  CHECK_EQ(Example("a20606320101980107aa06040000803f", [](RecordPatch& p) { p.AppendToList(p.Want(Field("actions")), {2}); }),
           "a2060732020102980107aa06040000803f");  // C31
  CHECK_EQ(Instance("1a040000803f2a03320102", [](RecordPatch& p) { p.SetLabel({1}, 0, -1); }), "1a04000080bf2a03320102");  // F18
  const char* b = "0a10650000000000400008000000000000321a040000803f2a09210b00000000000000";
  CHECK_EQ(Instance(b, [](RecordPatch& p) { p.SetWeight(1); }),
           "0a10650000000000400008000000000000321a040000803f250000803f2a09210b00000000000000");  // G12
  static const std::string fids = Bytes("65000000000040000700000000000032");
  CHECK_EQ(Instance(b, [](RecordPatch& p) {
             p.SetWeight(3), p.SetFids(fids), p.SetLabel({1}, 0, -1), p.SetUint(p.Want(Field("item_id")), 11);
           }), "0a10650000000000400007000000000000321a04000080bf25000040402a09210b00000000000000");
  CHECK_EQ(Instance("2a09110500000000000000a00680e637", [](RecordPatch& p) {
             p.SetString(p.Want(Field("data_source_name")), "data_source914176");
           }), "2a1d110500000000000000da0e11646174615f736f75726365393134313736a00680e637");  // H6
}

TEST(nothing_to_change_gives_the_payload_itself) {
  const std::string record = Bytes("1a040000803f2a03320102");
  RecordPatch patch(RecordType::kInstance);
  patch.Load(record);
  CHECK(patch.Apply().data() == record.data());
  RecordPatch dropping(RecordType::kExample);
  dropping.DropFeatures([](std::string_view name) { return name == "b"; });
  const std::string kept = Bytes("0a030a0161"), some = Bytes("0a030a01610a030a01620a030a0163");
  dropping.Load(kept);
  CHECK(dropping.Apply().data() == kept.data());
  dropping.Load(some);
  CHECK_EQ(Hex(dropping.Apply()), "0a030a01610a030a0163");
}

TEST(a_field_that_was_not_there_goes_before_greater_numbers) {
  const auto all = [](RecordPatch& p) {
    static const std::vector<float> labels = {1};
    p.SetInt(p.Want(Field("rank")), 1), p.SetWeight(2), p.SetLabels(labels), p.SetInt(p.Want(Field("chnid")), -1);
  };
  const std::string line = "9801ffffffffffffffffff01";
  CHECK_EQ(Instance("", all), "1a040000803f25000000402a0f" + line + "880901");
  CHECK_EQ(Instance("a00601", all), "1a040000803f25000000402a0f" + line + "880901a00601");
  CHECK_EQ(Example("b80601", all), "a2060f" + line + "880901aa06040000803fb50600000040b80601");
  // Out of order: each where it was, what is new before what is greater.
  CHECK_EQ(Instance("2a0218051a04000000003801", all), "25000000402a111805" + line + "8809011a040000803f3801");
}

TEST(several_occurrences_become_one) {
  const auto append = [](RecordPatch& p) { p.AppendToList(p.Want(Field("actions")), {-1, 3}); };
  // packed, single and packed again, in two pieces with other fields between; an unknown field 55 stays in its place
  CHECK_EQ(Instance("2a0732020102b8030732003801" "2a0430051809", append),
           "2a15" "320e010205ffffffffffffffffff0103" "b80307" "1809" "32003801");
  const auto rate = [](RecordPatch& p) { p.SetFloat(p.Want(Field("sample_rate")), 0.5f); };
  // once more, and as a varint, which is unknown data
  CHECK_EQ(Instance("2a0fdd010000803fd80105dd0100008040", rate), "2a09dd010000003fd80105");
}

TEST(reserved_features_give_way_to_the_field) {
  // named_feature {name "__LABEL__", feature {float_list {value [2]}}} between two others, and a field label [9]
  const std::string other = "0a030a0161";
  const std::string feature = "0a150a095f5f4c4142454c5f5f12081a060a0400000040";
  CHECK_EQ(Example((other + feature + other + "aa060400001041").c_str(), [](RecordPatch& p) { p.SetLabel({2}, 0, 1); }),
           other + other + "aa06040000803f");
  // __LINE_ID__ {uid 5, unknown 55} goes before a field with uid 6
  const std::string line = "0a1f0a0b5f5f4c494e455f49445f5f121032" "0e0a0c110500000000000000b80307";
  CHECK_EQ(Example((line + "a20609110600000000000000").c_str(), [](RecordPatch& p) { p.SetInt(p.Want(Field("req_time")), 7); }),
           "a2060e1105000000000000001807b80307");
  const std::string weight = "0a1a0a0f696e7374616e63655f77656967687412071a050d00000040";
  CHECK_EQ(Example(weight.c_str(), [](RecordPatch& p) { p.SetWeight(4); }), "b50600008040");
  CHECK_EQ(Example(weight.c_str(), [](RecordPatch& p) { p.SetWeight(0); }), "");
  CHECK_EQ(Example((weight + feature).c_str(), [](RecordPatch& p) { p.SetInt(p.Want(Field("req_time")), 7); }),
           weight + feature + "a206021807");
}

TEST(broken_records_throw) {
  for (const char* hex : {"2a05", "1a03000000", "2a033202ff", "2a0130" "2a0101", "2a0432028080", "ff", "0a0b0000"}) {
    CHECK_THROWS(Instance(hex, [](RecordPatch& p) {
      p.SetLabels({}), p.SetFids({}), p.AppendToList(p.Want(Field("actions")), {1});
    }), ErrorCode::kBadData);
  }
  CHECK_THROWS(Example("0a020a05", [](RecordPatch& p) { p.SetLabels({}); }), ErrorCode::kBadData);
  CHECK_THROWS(Example("0a0d0a0b5f5f4c494e455f49445f5f", [](RecordPatch& p) { p.SetInt(p.Want(Field("rank")), 1); }), ErrorCode::kBadData);
}
