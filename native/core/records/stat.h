// What a stream of records holds, in one pass and bounded memory.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/operators/operator.h"

namespace monolith {

// Estimates how many different values were seen, within about 1.6 percent, in 4 KiB.
class DistinctCounter {
 public:
  void Add(uint64_t value);
  uint64_t Estimate() const;

 private:
  static constexpr int kBits = 12;
  std::vector<uint8_t> registers_;  // 2^kBits, made with the first value
};

// Counts sizes in steps of about 3 percent.
class SizeHistogram {
 public:
  void Add(uint64_t size);
  uint64_t Quantile(double q) const;  // of the upper end of the step, at most the largest size
  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }
  uint64_t min() const { return count_ ? min_ : 0; }
  uint64_t max() const { return max_; }

 private:
  static size_t Step(uint64_t size);
  static uint64_t UpperEnd(size_t step);
  std::vector<uint64_t> steps_;
  uint64_t count_ = 0, sum_ = 0, min_ = UINT64_MAX, max_ = 0;
};

struct SlotStat {
  uint64_t records = 0;  // rows that have the slot
  uint64_t fids = 0;
  DistinctCounter distinct;
  uint64_t last_row = 0;
};

struct FeatureStat {
  uint64_t records = 0;  // rows that have the feature; of a shared column its one feature counts once
  uint64_t values = 0;
};

struct LabelStat {
  uint64_t count = 0, nan = 0;
  double sum = 0;  // of those that are numbers
  float min = 0, max = 0;
  std::map<float, uint64_t> values;  // the first kMaxLabelValues different ones
  uint64_t other_values = 0;
};

struct StatResult {
  static constexpr size_t kMaxSlots = 4096, kMaxNames = 10000, kMaxLabels = 64, kMaxLabelValues = 20;

  SizeHistogram sizes;
  uint64_t rows = 0;                                  // records, or rows of batches
  std::map<std::pair<int, uint64_t>, SlotStat> slots; // by fid version and slot
  SlotStat other_slots;                               // those past kMaxSlots together
  std::map<std::pair<std::string, const char*>, FeatureStat> features;  // by name and kind, a name of a field
  FeatureStat other_features;
  std::vector<LabelStat> labels;  // by position
  uint64_t rows_with_label = 0, rows_with_weight = 0, rows_with_line_id = 0, with_data_source_key = 0;
  std::map<uint32_t, uint64_t> line_id_fields;  // rows that have the field, by its number
  int64_t min_req_time = INT64_MAX, max_req_time = INT64_MIN;
};

// Lets nothing through.
class StatOperator : public Operator {
 public:
  explicit StatOperator(RecordType type);
  ~StatOperator() override;
  const char* name() const override { return "stat"; }
  void Process(const Record& record, RecordSink* next) override;
  const StatResult& result() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace monolith
