#include "core/operators/shard_fids.h"

#include "core/base/error.h"

namespace monolith {

ShardFids::ShardFids(ShardConfig config, size_t batch_size, bool drop_remainder, ShardForm form)
    : sharder_(std::move(config)), batch_size_(batch_size), drop_remainder_(drop_remainder), form_(form) {
  if (batch_size == 0) throw Error(ErrorCode::kUsage, "a batch has at least one row");
}

void ShardFids::Emit(RecordSink* next) {
  out_.clear();
  WriteSharded(sharder_, sharder_.Finish(), form_, &out_);
  Record record;
  record.payload = out_;
  next->Write(record);
}

void ShardFids::Process(const Record& record, RecordSink* next) {
  sharder_.Add(record.payload);
  if (sharder_.config().type == RecordType::kExampleBatch || sharder_.rows() >= batch_size_) Emit(next);
}

void ShardFids::Finish(RecordSink* next) {
  if (sharder_.rows() == 0) return;
  if (drop_remainder_) {
    remainder_ = sharder_.rows();
  } else {
    Emit(next);
  }
}

std::map<std::string, uint64_t> ShardFids::DroppedBy() const {
  if (remainder_ == 0) return {};
  return {{"remainder", remainder_}};
}

}  // namespace monolith
