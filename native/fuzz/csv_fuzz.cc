// Any text through the row reader and every kind of column: only errors of ours may come out.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/base/error.h"
#include "core/records/csv.h"
#include "core/records/stat.h"

namespace {

using namespace monolith;  // NOLINT

class Pieces : public ByteSource {
 public:
  Pieces(std::string bytes, size_t piece) : ByteSource("fuzz"), bytes_(std::move(bytes)), piece_(piece) {}
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

struct Check : RecordSink {
  explicit Check(RecordType type) : stat(type) {}
  void Write(const Record& record) override { stat.Process(record, this); }
  void Flush() override {}
  StatOperator stat;
};

CsvColumn Column(size_t index, CsvTarget target, const char* name, CsvValue value = CsvValue::kInteger) {
  CsvColumn c;
  c.index = index;
  c.target = target;
  c.name = name;
  c.value = value;
  c.slot = index;
  return c;
}

CsvSchema Schema(uint8_t flags) {
  CsvSchema s;
  s.to = flags & 1 ? RecordType::kExample : RecordType::kInstance;
  s.quote = flags & 2;
  s.header = flags & 4;
  s.latin1 = flags & 8;
  s.short_rows = flags & 16;
  s.separator = flags & 32 && !s.quote ? "::" : ",";
  s.skip_empty = flags & 64;
  s.columns = {Column(0, CsvTarget::kFid, "f"),   Column(0, CsvTarget::kBytes, "b"),
               Column(1, CsvTarget::kFloat, "x"), Column(1, CsvTarget::kFid, "l", CsvValue::kLog2),
               Column(2, CsvTarget::kInt64, "t", CsvValue::kTime), Column(0, CsvTarget::kLineId, "user_id"),
               Column(1, CsvTarget::kLabel, "")};
  s.columns[1].separator = "|";
  s.columns[1].missing = CsvMissing::kDefault;
  if (flags & 128) s.columns.push_back(Column(3, CsvTarget::kLineId, "actions"));
  return s;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const CsvSchema schema = Schema(data[0]);
  auto reader = std::make_shared<RowReader>(
      std::make_shared<Pieces>(std::string(reinterpret_cast<const char*>(data + 2), size - 2), 1 + data[1] % 32),
      RowOptionsOf(schema));
  CsvOperator op(schema);
  Check check(schema.to);
  try {
    op.Begin(reader);
    Record record;
    for (bool more = true; more;) {
      try {
        more = reader->Next(&record);
        if (more) op.Process(record, &check);
      } catch (const BadRecord&) {
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
