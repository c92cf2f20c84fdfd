// shard-fids: one ShardedFids, as a message or text, for each batch of records.
#pragma once

#include <string>

#include "core/operators/operator.h"
#include "core/records/shard_output.h"

namespace monolith {

class ShardFids : public Operator {
 public:
  // `batch_size`: rows of a batch, at least 1; an example_batch is one for itself. A last batch with fewer rows is left
  // out when `drop_remainder`. Throws Error(kUsage) for a mistake in the configuration.
  ShardFids(ShardConfig config, size_t batch_size, bool drop_remainder, ShardForm form);
  const char* name() const override { return "shard_fids"; }
  void Process(const Record& record, RecordSink* next) override;
  void Finish(RecordSink* next) override;
  bool HoldsBack() const override { return sharder_.rows() > 0; }
  std::map<std::string, uint64_t> DroppedBy() const override;

 private:
  void Emit(RecordSink* next);

  FidSharder sharder_;
  const size_t batch_size_;
  const bool drop_remainder_;
  const ShardForm form_;
  uint64_t remainder_ = 0;
  std::string out_;
};

}  // namespace monolith
