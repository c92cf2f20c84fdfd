// TFRecord: length u64, its masked crc32c, data, its masked crc32c.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/io/input_buffer.h"
#include "core/io/record_reader.h"

namespace monolith {

void AppendTFRecord(std::string_view payload, std::string* out);

class TFRecordReader : public RecordReader {
 public:
  TFRecordReader(std::shared_ptr<ByteSource> source, uint64_t max_record_size = uint64_t{1} << 30,
                 uint64_t start_offset = 0);

  // A wrong checksum of the data is a BadRecord; of the length, broken framing.
  bool Next(Record* record) override;
  bool Buffered() const override;
  const std::string& name() const override { return input_.source().name(); }
  uint64_t offset() const override { return input_.position(); }
  size_t ReadRest(char* to, size_t n) override;
  void Cancel() override { input_.source().Cancel(); }

 private:
  [[noreturn]] void Fail(const std::string& what) const;

  InputBuffer input_;
  uint64_t max_record_size_;
};

}  // namespace monolith
