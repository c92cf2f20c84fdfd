// pb-negative-gen: for each positive record, negatives with its user part and the item part of items drawn from a pool
// (spec 20, section 24).
//
// A record is positive when the action that counts is one of `positive_actions`, or, when there are none of those, when
// label[label_index] is `positive_label`. Its item part is pooled first, then its negatives leave, then the record itself.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/operators/item_pool.h"
#include "core/operators/negative_record.h"
#include "core/operators/operator.h"
#include "core/operators/pool_folder.h"

namespace monolith {

struct NegativeGenConfig {
  NegativeRecordConfig record;
  uint64_t neg_num = 1;  // negatives of a positive, at most
  bool per_channel = false;
  uint64_t start_num = 500, max_item_num = 100000;  // of a channel of the pool
  float positive_label = 1;
  std::vector<int32_t> positive_actions, action_priority, cache_negative_actions;
  bool throw_origin = false, throw_origin_neg = false;
  bool cache_only_pos = false;
  float real_neg_weight = 1, sampled_neg_weight = -1;  // up to 1e-5 counts as not given
  bool unbias_sampled_neg = true;
  float origin_neg_in_pool_proba = 1;
  double decay_factor = 1;
  float easy_hard_ratio = 0;
  uint64_t seed = 0;
  std::optional<PoolPlace> pool;  // where the pool is kept
  uint64_t save_every = 0;        // input records between saves; 0: at the end alone
};

class NegativeGen : public Operator {
 public:
  // Loads the pool. Throws Error: kUsage for a mistake in the configuration, and as PoolFolder.
  explicit NegativeGen(NegativeGenConfig config);

  const char* name() const override { return "negative_gen"; }
  void Process(const Record& record, RecordSink* next) override;
  // Saves the pool, if anything came in since the last save.
  void Finish(RecordSink* next) override;
  // Input records that did not leave: origin (throw_origin), origin_negative (throw_origin_neg).
  std::map<std::string, uint64_t> DroppedBy() const override;
  // negatives: input records that are no positives. generated, hard_draws, easy_draws (attempts, in vain or not).
  // no_label: records without a label at label_index where one was asked for.
  std::map<std::string, uint64_t> Counts() const override;

  const ItemPool& pool() const { return pool_; }

 private:
  bool IsPositive();
  int64_t ActionThatCounts() const;
  bool Cacheable(bool positive) const;
  void Store(bool positive);
  size_t Draw(uint64_t wanted);
  void Generate(RecordSink* next);
  float WeightOf(const ItemPool::Drawn& drawn) const;

  const NegativeGenConfig config_;
  NegativeRecord record_;
  ItemPool pool_;
  Random random_;
  std::unique_ptr<PoolFolder> folder_;
  static constexpr size_t kAhead = 16;  // draws whose items are fetched together
  ItemPool::Choice choices_[kAhead];
  uint64_t since_save_ = 0;
  uint64_t negatives_ = 0, generated_ = 0, hard_ = 0, easy_ = 0, no_label_ = 0, origin_dropped_ = 0, negative_dropped_ = 0;
};

}  // namespace monolith
