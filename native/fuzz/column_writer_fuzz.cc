// Any bytes as Examples that become columns: each is refused whole or has one row in every column, whose offsets fit.
#include <cstdlib>
#include <string>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/records/column_writer.h"

using namespace monolith;

namespace {

class Count : public RecordSink {
 public:
  void Write(const Record&) override { ++records; }
  void Flush() override {}
  size_t records = 0;
};

ColumnPlan Plan(CsvTarget target, const char* name, bool list, int version = 2) {
  ColumnPlan plan;
  plan.target = target;
  plan.name = name;
  plan.list = list;
  plan.version = version;
  plan.whole_fid = version == 2;
  plan.slot = 1;
  return plan;
}

void CheckOffsets(const std::string& offsets, size_t count, uint64_t end) {
  if (offsets.size() != 8 * (count + 1)) std::abort();
  uint64_t last = 0;
  for (size_t i = 0; i <= count; ++i) {
    const uint64_t at = LoadLe<uint64_t>(offsets.data() + 8 * i);
    if (at < last || at > end) std::abort();
    last = at;
  }
  if (last != end) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n) {
  if (n < 1) return 0;
  std::vector<ColumnPlan> plan = {Plan(CsvTarget::kFid, "a", true, 1),       Plan(CsvTarget::kFid, "b", true),
                                  Plan(CsvTarget::kFloat, "c", true),        Plan(CsvTarget::kInt64, "d", false),
                                  Plan(CsvTarget::kBytes, "e", true),        Plan(CsvTarget::kBytes, "f", false),
                                  Plan(CsvTarget::kLabel, "", true),         Plan(CsvTarget::kLabel, "", false),
                                  Plan(CsvTarget::kWeight, "", false),       Plan(CsvTarget::kLineId, "uid", false),
                                  Plan(CsvTarget::kLineId, "actions", true), Plan(CsvTarget::kLineId, "cid", false)};
  size_t rows_taken = 0;
  ColumnWriter writer(plan, 3, 1000, [&](size_t rows, const std::vector<ColumnData>& columns) {
    rows_taken += rows;
    for (size_t i = 0; i < columns.size(); ++i) {
      const ColumnData& c = columns[i];
      const auto kind = writer.plan()[i].kind;
      if (kind == ColumnPlan::Kind::kBytes)
        CheckOffsets(c.value_offsets, c.count, c.values.size());
      else if (c.values.size() != c.count * (kind == ColumnPlan::Kind::kFloat ? 4 : 8))
        std::abort();
      if (plan[i].list)
        CheckOffsets(c.row_offsets, rows, c.count);
      else if (c.count != rows || c.valid.size() != (rows + 7) / 8)
        std::abort();
    }
  });
  Count sink;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, n - 1);
  while (!rest.empty()) {
    Record record;
    record.payload = rest.substr(0, 1 + data[0]);
    rest.remove_prefix(record.payload.size());
    const size_t before = sink.records;
    try {
      writer.Process(record, &sink);
      if (sink.records != before + 1) std::abort();
    } catch (const BadRecord&) {
      if (sink.records != before) std::abort();
    }
  }
  writer.Finish(&sink);
  if (rows_taken != sink.records) std::abort();
  return 0;
}
