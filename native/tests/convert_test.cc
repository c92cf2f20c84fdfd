#include "core/records/convert.h"

#include "check.h"
#include "core/base/fid.h"
#include "core/wire/schema.h"
#include "core/wire/wire.h"

using namespace monolith;  // NOLINT
using wire::Writer;

namespace {

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string ToHex(std::string_view bytes) {
  static const char* digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char c : bytes) {
    hex.push_back(digits[c >> 4]);
    hex.push_back(digits[c & 15]);
  }
  return hex;
}

struct Collect : RecordSink {
  void Write(const Record& record) override { records.emplace_back(record.payload); }
  void Flush() override {}
  std::vector<std::string> records;
};

std::vector<std::string> Run(const ConvertOptions& options, const std::vector<std::string>& payloads) {
  auto op = MakeConvert(options);
  Collect collect;
  for (const std::string& p : payloads) {
    Record record;
    record.payload = p;
    op->Process(record, &collect);
  }
  op->Finish(&collect);
  return collect.records;
}

ConvertOptions Options(RecordType from, RecordType to) {
  ConvertOptions options;
  options.from = from;
  options.to = to;
  return options;
}

constexpr RecordType kI = RecordType::kInstance, kE = RecordType::kExample, kB = RecordType::kExampleBatch;

const char kInstance[] =
    "0a1805000000000080000100000000004000060000000000800012040000003f1a080000803f000000002a091103000000000000004a0d0a01611a"
    "080000803f000000404a130a0162120801000000000009001a040000e0404a030a0163a00663";
const char kExample[] =
    "0a110a0576616c756512081a060a040000003f0a230a0966635f736c6f745f3212140a120a100500000000008000060000000000800018010a1b0a"
    "0966635f736c6f745f31120c0a0a0a08010000000000400018020a130a0161120c1a0a0a080000803f0000004018030a130a0162120c120a0a0801"
    "0000000000090018040a070a016312001805a20609110300000000000000aa06080000803f00000000b5060000803f";
const char kBatch[] =
    "0a150a0175120c0a0a0a080900000000004000180120010a1d0a0164120c1a0a0a080000803f0000004012081a060a040000404020020a2b0a0b5f"
    "5f4c494e455f49445f5f120d320b0a09110700000000000000120d320b0a091108000000000000000a1f0a095f5f4c4142454c5f5f12081a060a04"
    "0000000012081a060a040000803f1802";

}  // namespace

TEST(instance_to_example) {
  const auto out = Run(Options(kI, kE), {FromHex(kInstance), FromHex(kInstance)});
  CHECK_EQ(out.size(), 2u);
  CHECK_EQ(ToHex(out[0]), std::string(kExample));
  CHECK_EQ(ToHex(out[1]), std::string(kExample));
}

TEST(same_type_is_left_alone) {
  for (const RecordType t : {kI, kE, kB}) CHECK_EQ(Run(Options(t, t), {"no message at all"})[0], std::string("no message at all"));
}

TEST(batch_to_rows) {
  const auto rows = Run(Options(kB, kE), {FromHex(kBatch)});
  CHECK_EQ(rows.size(), 2u);
  // u (id 1, v1 fid), d (id 2, floats), line_id.uid, label; no weight.
  CHECK_EQ(ToHex(rows[0]), std::string("0a130a0175120c0a0a0a08090000000000400018010a130a0164120c1a0a0a080000803f00000040"
                                       "1802a20609110700000000000000aa060400000000"));
  CHECK_EQ(ToHex(rows[1]), std::string("0a130a0175120c0a0a0a08090000000000400018010a0f0a016412081a060a0400004040"
                                       "1802a20609110800000000000000aa06040000803f"));
  const auto instances = Run(Options(kB, kI), {FromHex(kBatch)});
  CHECK_EQ(ToHex(instances[1]),
           std::string("0a0809000000000040001a040000803f2a091108000000000000004a090a01641a0400004040"));
}

TEST(rows_to_batch_and_back) {
  const auto rows = Run(Options(kB, kE), {FromHex(kBatch)});
  ConvertOptions options = Options(kE, kB);
  options.batch_size = 3;
  const auto batches = Run(options, {rows[0], rows[1], rows[0], rows[1]});
  CHECK_EQ(batches.size(), 2u);
  const auto again = Run(Options(kB, kE), batches);
  CHECK_EQ(again.size(), 4u);
  for (size_t i = 0; i < 4; ++i) CHECK_EQ(ToHex(again[i]), ToHex(rows[i % 2]));
}

TEST(another_data_source_starts_a_batch) {
  std::string a, b;
  Writer(&a).Varint(schema::example::kDataSourceKey, 256);
  Writer(&b).Varint(schema::example::kDataSourceKey, 512);
  const auto batches = Run(Options(kE, kB), {a, a, b});
  CHECK_EQ(batches.size(), 2u);
  CHECK_EQ(ToHex(batches[0]), std::string("1802a0068002"));
  CHECK_EQ(ToHex(batches[1]), std::string("1801a0068004"));
}

TEST(bad_batches_name_the_column) {
  std::string column, batch;
  Writer(&column).Bytes(schema::named_feature_list::kName, "price");
  Writer(&column).Bytes(schema::named_feature_list::kFeature, "");
  Writer(&batch).Bytes(schema::example_batch::kNamedFeatureList, column);
  Writer(&batch).Varint(schema::example_batch::kBatchSize, 2);
  try {
    Run(Options(kB, kE), {batch});
    CHECK(false);
  } catch (const BadRecord& e) {
    CHECK_EQ(std::string(e.what()), std::string("column price has 1 features, while batch_size is 2"));
  }
}

TEST(a_bad_row_leaves_nothing_behind) {
  // The second row's __LINE_ID__ is empty: not even the first may have been written.
  std::string line_id, column, batch;
  Writer(&line_id).Bytes(schema::kListValue, "");
  std::string good;
  Writer(&good).Bytes(schema::feature::kBytesList, line_id);
  Writer(&column).Bytes(schema::named_feature_list::kName, schema::kLineIdName);
  Writer(&column).Bytes(schema::named_feature_list::kFeature, good);
  Writer(&column).Bytes(schema::named_feature_list::kFeature, "");
  Writer(&batch).Bytes(schema::example_batch::kNamedFeatureList, column);
  Writer(&batch).Varint(schema::example_batch::kBatchSize, 2);
  auto op = MakeConvert(Options(kB, kE));
  Collect collect;
  Record record;
  record.payload = batch;
  CHECK_THROWS(op->Process(record, &collect), ErrorCode::kBadData);
  CHECK(collect.records.empty());
}

TEST(empty_batches_have_no_rows) {
  CHECK(Run(Options(kB, kE), {""}).empty());
  std::string shared, batch;
  Writer(&shared).Bytes(schema::named_feature_list::kFeature, "");
  Writer(&shared).Varint(schema::named_feature_list::kType, schema::named_feature_list::kShared);
  Writer(&batch).Bytes(schema::example_batch::kNamedFeatureList, shared);
  CHECK(Run(Options(kB, kI), {batch}).empty());
  CHECK(Run(Options(kE, kB), {}).empty());
}

TEST(errors) {
  CHECK_THROWS(ParsePruning("some"), ErrorCode::kUsage);
  CHECK(ParsePruning("raw_feature") == Pruning::kRawFeature);
  ConvertOptions options = Options(kE, kB);
  options.batch_size = 0;
  CHECK_THROWS(MakeConvert(options), ErrorCode::kUsage);
  for (const RecordType from : {kI, kE, kB})
    for (const RecordType to : {kI, kE, kB})
      if (from != to) CHECK_THROWS(Run(Options(from, to), {"\x0a\xff"}), ErrorCode::kBadData);
}
