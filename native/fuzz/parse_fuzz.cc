// Parsing arbitrary bytes as each record type: columns of the right shape, or BadRecord.
#include <cstdlib>

#include "core/base/error.h"
#include "core/parse/parse.h"

using namespace monolith;

namespace {

RecordParser Make(RecordType type) {
  ParseSpec spec;
  spec.type = type;
  if (type == RecordType::kInstance) spec.fidv1 = {{0, "slot_0"}, {1, "slot_1"}};
  spec.fidv2 = {"a", "b"};
  spec.dense = {{"f", 2, ColumnType::kFloat}, {"i", 1, ColumnType::kInt64}, {"s", 1, ColumnType::kString},
                {"label", 2, ColumnType::kFloat}, {"instance_weight", 1, ColumnType::kFloat}};
  spec.extra = {{"uid", 1}, {"actions", 2}, {"user_id", 1}, {"sample_rate", 1}};
  return RecordParser(spec);
}

void CheckColumns(const ParsedColumns& out) {
  for (const SparseColumn& c : out.sparse) {
    if (c.row_splits.size() != out.rows + 1 || c.row_splits[0] != 0) std::abort();
    for (size_t i = 0; i < out.rows; ++i)
      if (c.row_splits[i] > c.row_splits[i + 1]) std::abort();
    if (static_cast<size_t>(c.row_splits.back()) != c.values.size()) std::abort();
  }
  size_t sum = 0;
  for (const auto* group : {&out.dense, &out.extra}) {
    for (const DenseColumn& c : *group) {
      if (c.floats.size() + c.ints.size() + c.strings.size() != out.rows * static_cast<size_t>(c.width)) std::abort();
      for (std::string_view s : c.strings)
        for (char b : s) sum += static_cast<unsigned char>(b);
    }
  }
  volatile size_t used = sum;
  (void)used;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const RecordParser parsers[] = {Make(RecordType::kInstance), Make(RecordType::kExample),
                                         Make(RecordType::kExampleBatch)};
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const std::string_view records[] = {bytes, std::string_view(bytes).substr(size / 2)};
  ParsedColumns out;
  for (const RecordParser& parser : parsers) {
    try {
      out = {};
      parser.Parse(records, 2, &out);
      CheckColumns(out);
    } catch (const BadRecord&) {
    }
  }
  return 0;
}
