#include "core/io/shard_reader.h"

#include "core/base/error.h"

namespace monolith {

ShardReader::ShardReader(std::shared_ptr<RecordReader> reader, uint64_t index, uint64_t count)
    : reader_(std::move(reader)), count_(count), until_ours_(index) {
  if (index >= count)
    throw Error(ErrorCode::kUsage,
                "shard " + std::to_string(index) + " of " + std::to_string(count) + ": the first is 0, the last " +
                    std::to_string(count ? count - 1 : 0));
}

// One record of another shard; false at the end.
bool ShardReader::PassOver() const {
  Record record;
  try {
    if (!reader_->Next(&record)) return false;
  } catch (const BadRecord&) {  // its own shard reports it
  }
  --until_ours_;
  return true;
}

// Passing over records that are in memory here keeps the promise that Next() need not read.
bool ShardReader::Buffered() const {
  while (until_ours_ > 0 && reader_->Buffered()) PassOver();
  return reader_->Buffered();
}

bool ShardReader::Next(Record* record) {
  while (until_ours_ > 0)
    if (!PassOver()) return false;
  until_ours_ = count_ - 1;
  return reader_->Next(record);
}

}  // namespace monolith
