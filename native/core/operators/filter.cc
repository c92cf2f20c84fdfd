#include "core/operators/filter.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/fid.h"

namespace monolith {

Filter::Filter(FilterConfig config)
    : config_(std::move(config)),
      view_(config_.type, "pb-filter"),
      filter_fids_(config_.filter_fids),
      has_fids_(config_.has_fids),
      select_fids_(config_.select_fids) {
  const FilterConfig& c = config_;
  const bool fids = !c.filter_fids.empty() || !c.has_fids.empty() || !c.select_fids.empty() || !c.select_slots.empty();
  const bool asked = fids || !c.has_actions.empty() || c.req_time_min.has_value();
  by_fids_ = asked || (c.where.empty() && c.label_thresholds.empty());
  req_time_min_ = c.req_time_min.value_or(0);
  for (uint32_t slot : c.select_slots)
    if (slot >= fid::kSlotsV2)
      throw Error(ErrorCode::kUsage, "slot should be less than 32768, while got " + std::to_string(slot));
  if (by_fids_) req_time_ = view_.WantLineId(*FindLineIdField("req_time"));
  if (!c.has_actions.empty()) {
    actions_ = view_.WantLineId(*FindLineIdField("actions"));
    has_actions_ = Relation::List(RelOp::kAny, {c.has_actions.begin(), c.has_actions.end()});
  }
  if (!c.where.empty()) where_.emplace(c.where, c.keep_empty, &view_);
  if (!c.label_thresholds.empty()) view_.WantLabels();
  if (fids) view_.WantFids();
  seen_.assign(select_fids_.size(), 0);
  if (!c.rejected.empty()) rejected_ = std::make_unique<AtomicFile>(c.rejected);
}

void Filter::Process(const Record& record, RecordSink* next) {
  view_.Load(record.payload);
  ++record_;
  Reason reason = Decide();
  if (config_.invert) reason = reason == kKeep ? kInvert : kKeep;
  if (reason == kKeep) return next->Write(record);
  if (rejected_) Reject(record);
  ++dropped_[reason];
}

Filter::Reason Filter::Decide() {
  if (by_fids_ && view_.line_id().Int(req_time_) < req_time_min_) return kReqTime;
  if (has_actions_ && !has_actions_->List(view_.line_id().List(actions_))) return kHasAction;
  if (where_ && !where_->Matches(view_)) return kWhere;
  if (!config_.label_thresholds.empty() && !LabelsPass()) return kLabel;
  const auto meets = [&](const FidSet& set) {
    return view_.AnyFids([&](const RecordView::Fids& run) { return set.Meets(run.data, run.n); });
  };
  if (!filter_fids_.empty() && meets(filter_fids_)) return kFilterFid;
  if (!has_fids_.empty() && !meets(has_fids_)) return kHasFid;
  if (!select_fids_.empty() && !SelectsAll()) return kSelectFid;
  for (uint32_t slot : config_.select_slots)
    if (!view_.HasSlot(slot)) return kHasSlot;
  return kKeep;
}

bool Filter::LabelsPass() const {
  const std::vector<float>& labels = view_.labels();
  const std::vector<float>& thresholds = config_.label_thresholds;
  if (labels.size() < thresholds.size()) return false;
  for (size_t i = 0; i < thresholds.size(); ++i)
    if (labels[i] > thresholds[i] || (labels[i] == thresholds[i] && !config_.label_strict)) return true;
  return false;
}

bool Filter::SelectsAll() {
  size_t missing = select_fids_.size();
  return view_.AnyFids([&](const RecordView::Fids& run) {
    for (size_t i = 0; i < run.n; ++i) {
      const size_t k = select_fids_.Find(LoadLe<uint64_t>(run.data + i * 8));
      if (k == FidSet::kAbsent || seen_[k] == record_) continue;
      seen_[k] = record_;
      if (--missing == 0) return true;
    }
    return false;
  });
}

void Filter::Reject(const Record& record) {
  char length[8];
  StoreLe<uint64_t>(length, record.payload.size());
  rejected_->Write({length, sizeof length});
  rejected_->Write(record.payload);
}

void Filter::Finish(RecordSink*) {
  if (rejected_) rejected_->Commit();
  rejected_.reset();
}

std::map<std::string, uint64_t> Filter::DroppedBy() const {
  static constexpr const char* names[] = {"", "req_time", "has_action", "where", "label", "filter_fid",
                                          "has_fid", "select_fid", "has_slot", "invert"};
  std::map<std::string, uint64_t> by;
  for (int i = kReqTime; i < kReasons; ++i)
    if (dropped_[i]) by[names[i]] = dropped_[i];
  return by;
}

}  // namespace monolith
