// Every n-th record of another reader: static sharding of a single source.
#pragma once

#include <memory>

#include "core/io/record_reader.h"

namespace monolith {

class ShardReader : public RecordReader {
 public:
  // Record k (from 0) belongs to shard k mod count.
  ShardReader(std::shared_ptr<RecordReader> reader, uint64_t index, uint64_t count);
  bool Next(Record* record) override;
  bool Buffered() const override;
  const std::string& name() const override { return reader_->name(); }
  uint64_t offset() const override { return reader_->offset(); }
  std::string Place(uint64_t offset) const override { return reader_->Place(offset); }
  void Passed(uint64_t offset, bool left) override { reader_->Passed(offset, left); }
  size_t ReadRest(char* to, size_t n) override { return reader_->ReadRest(to, n); }
  void Cancel() override { reader_->Cancel(); }

 private:
  bool PassOver() const;

  std::shared_ptr<RecordReader> reader_;
  const uint64_t count_;
  mutable uint64_t until_ours_;  // records of others that come first
};

}  // namespace monolith
