#include "core/io/tfrecord.h"

#include <algorithm>
#include <cstring>

#include "core/base/bytes.h"
#include "core/base/crc32c.h"
#include "core/base/error.h"

namespace monolith {
namespace {

constexpr size_t kHeader = 12, kFooter = 4;

bool LengthIsGood(const char* p) { return MaskCrc32c(Crc32c(p, 8)) == LoadLe<uint32_t>(p + 8); }

}  // namespace

void AppendTFRecord(std::string_view payload, std::string* out) {
  char header[kHeader], footer[kFooter];
  StoreLe<uint64_t>(header, payload.size());
  StoreLe<uint32_t>(header + 8, MaskCrc32c(Crc32c(header, 8)));
  StoreLe<uint32_t>(footer, MaskCrc32c(Crc32c(payload)));
  out->append(header, kHeader);
  out->append(payload);
  out->append(footer, kFooter);
}

TFRecordReader::TFRecordReader(std::shared_ptr<ByteSource> source, uint64_t max_record_size, uint64_t start_offset)
    : input_(std::move(source)), max_record_size_(max_record_size) {
  if (start_offset > 0 && !input_.SkipTo(start_offset))
    Fail("the source ends here, before byte " + std::to_string(start_offset) + " where reading should go on");
}

void TFRecordReader::Fail(const std::string& what) const {
  broken_ = true;
  throw Error(ErrorCode::kBadData, name() + ": byte " + std::to_string(input_.position()) + ": " + what);
}

bool TFRecordReader::Buffered() const {
  if (input_.size() < kHeader) return false;
  const uint64_t size = LoadLe<uint64_t>(input_.data());
  if (size > max_record_size_) return true;  // Next() has its error at hand
  return input_.size() >= kHeader + size + kFooter;
}

bool TFRecordReader::Next(Record* record) {
  if (input_.size() < kHeader && !input_.Fill(kHeader)) {
    if (input_.size() == 0 || open_end_) return false;
    Fail("the last record is cut short inside its length (--on-bad-record skip leaves it out)");
  }
  const uint64_t size = LoadLe<uint64_t>(input_.data());
  if (!LengthIsGood(input_.data()))
    Fail("the checksum of a length is wrong: this is no TFRecord file, or it is damaged; try --format pb");
  if (size > max_record_size_)
    Fail("a record length of " + std::to_string(size) + " bytes, over the limit of " + std::to_string(max_record_size_) +
         "; raise --max-record-size");
  const size_t whole = kHeader + static_cast<size_t>(size) + kFooter;
  if (!input_.Fill(whole)) {
    if (open_end_) return false;
    Fail("the last record is cut short: " + std::to_string(input_.size()) + " of " + std::to_string(whole) +
         " bytes are there (--on-bad-record skip leaves it out)");
  }
  record->payload = {input_.data() + kHeader, static_cast<size_t>(size)};
  record->framed = false;
  record->offset = input_.position();
  const bool good = MaskCrc32c(Crc32c(record->payload)) == LoadLe<uint32_t>(input_.data() + whole - kFooter);
  input_.Consume(whole);
  record->end = input_.position();
  if (!good) throw BadRecord("the checksum of the record is wrong");
  return true;
}

size_t TFRecordReader::ReadRest(char* to, size_t n) {
  if (input_.size() == 0) return input_.source().Read(to, n);
  const size_t got = std::min(n, input_.size());
  std::memcpy(to, input_.data(), got);
  input_.Consume(got);
  return got;
}

}  // namespace monolith
