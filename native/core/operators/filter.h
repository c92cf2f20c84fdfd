// pb-filter: keeps or drops whole records (spec 20, sections 1 to 6, and --where).
//
// The conditions, in the order they are tried and with the word they are counted under when a record fails:
//   empty             the record has more than zero bytes (drop_empty)
//   req_time          line_id.req_time ≥ req_time_min; unset reads 0
//   has_action        some of has_actions is in line_id.actions
//   value             the condition on one LineId field or named feature
//   where             the expression
//   label             at least as many labels as thresholds, and some label above its threshold (or equal, unless label_strict)
//   filter_fid        none of filter_fids is there
//   has_fid           some of has_fids is there
//   select_fid        all of select_fids are there
//   has_slot          all of select_slots are there
//   negative_sample   sampling.h; draws a number for negatives that got here
//   special_strategy  sampling.h; may draw a number, and gives the record that passes another first label
// An empty list asks nothing. What comes first is cheap; where several fail, the first one is counted. All conditions see the
// record as it came. With `invert` what would be dropped is kept, as it came.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/atomic_file.h"
#include "core/operators/operator.h"
#include "core/operators/predicate.h"
#include "core/operators/record_view.h"
#include "core/operators/sampling.h"
#include "core/operators/where.h"

namespace monolith {

struct FilterConfig {
  RecordType type = RecordType::kInstance;  // kExampleBatch with drop_empty alone
  bool drop_empty = false;
  // By fids, actions and time. A time limit of 0 holds as soon as any of these is given, or when nothing at all is.
  std::optional<int64_t> req_time_min;
  std::vector<uint64_t> filter_fids, has_fids, select_fids;
  bool include_v2_fids = false;        // fids of an Instance's columns count too, for these and for has_fid() of `where`
  std::vector<uint32_t> select_slots;  // 0..32767
  std::vector<int32_t> has_actions;
  std::optional<ValueFilter> value;
  std::string where;        // "" for none
  bool keep_empty = false;  // of `value` and `where`: what an empty list or a feature that does not fit gives
  std::vector<float> label_thresholds;
  bool label_strict = false;  // a label equal to its threshold is not enough
  std::optional<NegativeSampleConfig> negative_sample;
  SpecialStrategyConfig special_strategy;
  uint64_t seed = 0;     // of the last two
  bool invert = false;   // keep what would be dropped
  std::string rejected;  // file for the records that are dropped, framed; "" for none
};

class Filter : public Operator {
 public:
  // Throws Error(kUsage) for a mistake in the configuration, Error(kNoInput) for a file of operands, Error(kCannotCreate)
  // for that of the rejected.
  explicit Filter(FilterConfig config);

  const char* name() const override { return "filter"; }
  void Process(const Record& record, RecordSink* next) override;
  // Puts the file of rejected records into its place.
  void Finish(RecordSink* next) override;
  std::map<std::string, uint64_t> DroppedBy() const override;

 private:
  enum Reason : int {
    kKeep, kEmpty, kReqTime, kHasAction, kValue, kWhere, kLabel, kFilterFid, kHasFid, kSelectFid, kHasSlot, kNegativeSample,
    kSpecialStrategy, kInvert, kReasons
  };

  void Prepare();
  Reason Decide();
  Reason DecideByFids();
  Reason Sample();
  bool LabelsPass() const;
  bool SelectsAll();
  void Pass(const Record& record, RecordSink* next);
  void Reject(const Record& record);

  const FilterConfig config_;
  std::optional<RecordView> view_;  // nothing to look at of a batch
  bool by_time_ = false, by_fids_ = false, samples_ = false;
  int64_t req_time_min_ = 0;
  int req_time_ = -1, actions_ = -1;
  FidSet filter_fids_, has_fids_, select_fids_;
  std::optional<Relation> has_actions_;
  std::optional<Predicate> value_;
  std::optional<Where> where_;
  std::optional<NegativeSample> negative_sample_;
  std::optional<SpecialStrategy> special_strategy_;
  Random random_;
  std::optional<float> new_label_;  // of the record at hand
  std::string patched_;
  std::vector<uint64_t> seen_;  // per select fid: number of the record it was last seen in
  uint64_t record_ = 0;
  uint64_t dropped_[kReasons] = {};
  std::unique_ptr<AtomicFile> rejected_;
};

}  // namespace monolith
