#include "core/operators/filter.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/fid.h"

namespace monolith {

Filter::Filter(FilterConfig config)
    : config_(std::move(config)),
      filter_fids_(config_.filter_fids),
      has_fids_(config_.has_fids),
      select_fids_(config_.select_fids),
      random_(config_.seed) {
  const FilterConfig& c = config_;
  for (uint32_t slot : c.select_slots)
    if (slot >= fid::kSlotsV2)
      throw Error(ErrorCode::kUsage, "slot should be less than 32768, while got " + std::to_string(slot));
  by_fids_ = !c.filter_fids.empty() || !c.has_fids.empty() || !c.select_fids.empty() || !c.select_slots.empty();
  samples_ = c.negative_sample || !c.special_strategy.strategies.empty();
  const bool others = c.drop_empty || c.value || !c.where.empty() || !c.label_thresholds.empty() || samples_;
  by_time_ = by_fids_ || !c.has_actions.empty() || c.req_time_min || !others;
  const bool looks = by_time_ || c.value || !c.where.empty() || !c.label_thresholds.empty() || samples_;
  if (looks || c.type != RecordType::kExampleBatch) Prepare();
  if (!c.rejected.empty()) rejected_ = std::make_unique<AtomicFile>(c.rejected);
}

// Compiles the conditions and tells the view what they will ask.
void Filter::Prepare() {
  const FilterConfig& c = config_;
  RecordView& view = view_.emplace(c.type, "pb-filter");
  req_time_min_ = c.req_time_min.value_or(0);
  if (by_time_) req_time_ = view.WantLineId(*FindLineIdField("req_time"));
  if (!c.has_actions.empty()) {
    actions_ = view.WantLineId(*FindLineIdField("actions"));
    has_actions_ = Relation::List(RelOp::kAny, {c.has_actions.begin(), c.has_actions.end()});
  }
  if (c.value) value_ = MakePredicate(*c.value, &view);
  if (!c.where.empty()) where_.emplace(c.where, c.keep_empty, &view);
  if (!c.label_thresholds.empty()) view.WantLabels();
  if (by_fids_) view.WantFids();
  if (c.include_v2_fids) view.IncludeV2Fids();
  if (c.negative_sample) negative_sample_.emplace(*c.negative_sample, &view);
  if (!c.special_strategy.strategies.empty()) special_strategy_.emplace(c.special_strategy, &view);
  seen_.assign(select_fids_.size(), 0);
}

void Filter::Process(const Record& record, RecordSink* next) {
  if (view_) view_->Load(record.payload);
  ++record_;
  Reason reason = config_.drop_empty && record.payload.empty() ? kEmpty : view_ ? Decide() : kKeep;
  if (config_.invert) reason = reason == kKeep ? kInvert : kKeep;
  if (reason == kKeep) return Pass(record, next);
  if (rejected_) Reject(record);
  ++dropped_[reason];
}

Filter::Reason Filter::Decide() {
  if (by_time_ && view_->line_id().Int(req_time_) < req_time_min_) return kReqTime;
  if (has_actions_ && !has_actions_->List(view_->line_id().List(actions_))) return kHasAction;
  if (value_ && !value_->Holds(*view_, config_.keep_empty)) return kValue;
  if (where_ && !where_->Matches(*view_)) return kWhere;
  if (!config_.label_thresholds.empty() && !LabelsPass()) return kLabel;
  if (by_fids_) {
    const Reason reason = DecideByFids();
    if (reason != kKeep) return reason;
  }
  return samples_ ? Sample() : kKeep;
}

Filter::Reason Filter::DecideByFids() {
  const auto meets = [&](const FidSet& set) {
    return view_->AnyFids([&](const RecordView::Fids& run) { return set.Meets(run.data, run.n); });
  };
  if (!filter_fids_.empty() && meets(filter_fids_)) return kFilterFid;
  if (!has_fids_.empty() && !meets(has_fids_)) return kHasFid;
  if (!select_fids_.empty() && !SelectsAll()) return kSelectFid;
  for (uint32_t slot : config_.select_slots)
    if (!view_->HasSlot(slot)) return kHasSlot;
  return kKeep;
}

Filter::Reason Filter::Sample() {
  new_label_.reset();
  if (negative_sample_ && !negative_sample_->Keeps(*view_, &random_)) return kNegativeSample;
  if (!special_strategy_) return kKeep;
  const SpecialStrategy::Verdict verdict = special_strategy_->Decide(*view_, &random_);
  if (!verdict.keep) return kSpecialStrategy;
  new_label_ = verdict.label;
  return kKeep;
}

bool Filter::LabelsPass() const {
  const std::vector<float>& labels = view_->labels();
  const std::vector<float>& thresholds = config_.label_thresholds;
  if (labels.size() < thresholds.size()) return false;
  for (size_t i = 0; i < thresholds.size(); ++i)
    if (labels[i] > thresholds[i] || (labels[i] == thresholds[i] && !config_.label_strict)) return true;
  return false;
}

bool Filter::SelectsAll() {
  size_t missing = select_fids_.size();
  return view_->AnyFids([&](const RecordView::Fids& run) {
    for (size_t i = 0; i < run.n; ++i) {
      const size_t k = select_fids_.Find(LoadLe<uint64_t>(run.data + i * 8));
      if (k == FidSet::kAbsent || seen_[k] == record_) continue;
      seen_[k] = record_;
      if (--missing == 0) return true;
    }
    return false;
  });
}

void Filter::Pass(const Record& record, RecordSink* next) {
  if (!new_label_ || config_.invert) return next->Write(record);
  patched_.assign(record.payload);
  StoreLe<float>(patched_.data() + view_->FirstLabel(), *new_label_);
  Record changed = record;
  changed.payload = patched_;
  changed.framed = false;
  next->Write(changed);
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
  static constexpr const char* names[] = {
      "",        "empty",      "req_time", "has_action",      "value",            "where", "label", "filter_fid",
      "has_fid", "select_fid", "has_slot", "negative_sample", "special_strategy", "invert"};
  static_assert(std::size(names) == kReasons);
  std::map<std::string, uint64_t> by;
  for (int i = kEmpty; i < kReasons; ++i)
    if (dropped_[i]) by[names[i]] = dropped_[i];
  return by;
}

}  // namespace monolith
