// pb-filter: keeps or drops whole records (spec 20, sections 1 to 3, and --where).
//
// The conditions, in the order they are tried and with the word they are counted under when a record fails:
//   req_time    line_id.req_time ≥ req_time_min; unset reads 0
//   has_action  some of has_actions is in line_id.actions
//   where       the expression
//   label       at least as many labels as thresholds, and some label above its threshold (or equal, unless label_strict)
//   filter_fid  none of filter_fids is there
//   has_fid     some of has_fids is there
//   select_fid  all of select_fids are there
//   has_slot    all of select_slots are there
// An empty list asks nothing. What comes first is cheap; where several fail, the first one is counted.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/atomic_file.h"
#include "core/operators/operator.h"
#include "core/operators/record_view.h"
#include "core/operators/where.h"

namespace monolith {

struct FilterConfig {
  RecordType type = RecordType::kInstance;
  // By fids, actions and time. A time limit of 0 holds as soon as any of these is given, or when nothing at all is.
  std::optional<int64_t> req_time_min;
  std::vector<uint64_t> filter_fids, has_fids, select_fids;
  std::vector<uint32_t> select_slots;  // 0..32767
  std::vector<int32_t> has_actions;
  std::string where;        // "" for none
  bool keep_empty = false;  // what any, all and diff of `where` give on an empty list
  std::vector<float> label_thresholds;
  bool label_strict = false;  // a label equal to its threshold is not enough
  bool invert = false;        // keep what would be dropped
  std::string rejected;       // file for the records that are dropped, framed; "" for none
};

class Filter : public Operator {
 public:
  // Throws Error(kUsage) for a mistake in the configuration, Error(kCannotCreate) for the file.
  explicit Filter(FilterConfig config);

  const char* name() const override { return "filter"; }
  void Process(const Record& record, RecordSink* next) override;
  // Puts the file of rejected records into its place.
  void Finish(RecordSink* next) override;
  bool HoldsBack() const override { return rejected_ != nullptr; }
  std::map<std::string, uint64_t> DroppedBy() const override;

 private:
  enum Reason : int { kKeep, kReqTime, kHasAction, kWhere, kLabel, kFilterFid, kHasFid, kSelectFid, kHasSlot, kInvert, kReasons };

  Reason Decide();
  bool LabelsPass() const;
  bool SelectsAll();
  void Reject(const Record& record);

  const FilterConfig config_;
  RecordView view_;
  bool by_fids_ = false;
  int64_t req_time_min_ = 0;
  int req_time_ = -1, actions_ = -1;
  FidSet filter_fids_, has_fids_, select_fids_;
  std::optional<Relation> has_actions_;
  std::optional<Where> where_;
  std::vector<uint64_t> seen_;  // per select fid: number of the record it was last seen in
  uint64_t record_ = 0;
  uint64_t dropped_[kReasons] = {};
  std::unique_ptr<AtomicFile> rejected_;
};

}  // namespace monolith
