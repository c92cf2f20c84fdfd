#include "core/operators/split.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/random.h"
#include "core/base/stop.h"
#include "core/operators/tag.h"

namespace monolith {
namespace {

constexpr int kLookEvery = 10;  // milliseconds between looks for readers of FIFOs

const LineIdField* CheckedField(const std::string& name) {
  const LineIdField* field = FindLineIdField(name);
  if (field && !field->repeated && field->kind != FieldKind::kFloat) return field;
  std::vector<std::string_view> choices;
  std::string list;
  for (const LineIdField& f : kLineIdFields) {
    if (f.repeated || f.kind == FieldKind::kFloat) continue;
    choices.push_back(f.name);
    list += (list.empty() ? "" : ", ") + std::string(f.name);
  }
  const std::string_view near = NearestName(name, choices);
  throw Error(ErrorCode::kUsage, "--by: '" + name + "' is no field of LineId to split by" +
                                     (near.empty() ? "" : "; did you mean " + std::string(near) + "?") + " Fields: " + list);
}

uint64_t IntegerOf(const std::string& text, FieldKind kind) {
  char* end = nullptr;
  errno = 0;
  const bool negative = text.substr(0, 1) == "-";
  const uint64_t value = negative ? static_cast<uint64_t>(std::strtoll(text.c_str(), &end, 10)) : std::strtoull(text.c_str(), &end, 10);
  const bool fits = kind == FieldKind::kUint64 ? !negative : negative || value <= static_cast<uint64_t>(INT64_MAX);
  if (text.empty() || *end != '\0' || errno != 0 || !fits || text[0] == ' ' || text[0] == '+')
    throw Error(ErrorCode::kUsage, "--flow " + text + "=…: the name must be a value of the field, an integer");
  return value;
}

}  // namespace

Split::Split(SplitConfig config) : config_(std::move(config)), view_(config_.type, "pb-split") {
  if (config_.flows.empty()) throw Error(ErrorCode::kUsage, "name the flows: --flow NAME=PATH");
  if (config_.by == SplitConfig::By::kField || config_.by == SplitConfig::By::kHash) {
    field_ = CheckedField(config_.field);
    place_ = view_.WantLineId(*field_);
  }
  for (const SplitConfig::Flow& flow : config_.flows) AddFlow(flow);
  unmatched_kept_ = config_.unmatched != "drop" && config_.unmatched != "error";
  if (unmatched_kept_) outlet_of_.push_back(OutletAt(config_.unmatched));
  records_.assign(config_.flows.size(), 0);
}

size_t Split::OutletAt(const std::string& path) {
  for (size_t i = 0; i < outlets_.size(); ++i)
    if (outlets_[i]->path() == path) return i;
  outlets_.push_back(std::make_unique<Outlet>(path));
  return outlets_.size() - 1;
}

void Split::AddFlow(const SplitConfig::Flow& flow) {
  const int number = static_cast<int>(outlet_of_.size());
  const auto refuse = [&](const std::string& other, const std::string& why) {
    throw Error(ErrorCode::kUsage, "--flow " + flow.name + "=… and --flow " + other + "=…: " + why);
  };
  for (int i = 0; i < number; ++i)
    if (config_.flows[static_cast<size_t>(i)].name == flow.name) refuse(flow.name, "a flow has one place");
  if (config_.by == SplitConfig::By::kField && field_->kind == FieldKind::kString) {
    by_text_.Add(flow.name);
  } else if (config_.by == SplitConfig::By::kField || config_.by == SplitConfig::By::kFlow) {
    const bool code = config_.by == SplitConfig::By::kFlow;
    const uint64_t key = code ? DataSourceKey(flow.name) : IntegerOf(flow.name, field_->kind);
    const auto [at, added] = by_key_.emplace(key, number);
    if (!added)
      refuse(config_.flows[static_cast<size_t>(at->second)].name,
             code ? "both names have the code " + std::to_string(key) + ", so their records cannot be told apart" : "one value");
  }
  outlet_of_.push_back(OutletAt(flow.path));
}

int Split::FlowOfKey(uint64_t key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? kNone : found->second;
}

uint64_t Split::HashOfField() const {
  if (field_->kind == FieldKind::kString) return CityHash64(view_.line_id().String(place_));
  uint64_t value = view_.line_id().Uint(place_);
  return SplitMix64(&value);
}

int Split::FlowOf(std::string_view payload) {
  const uint64_t flows = config_.flows.size();
  if (config_.by == SplitConfig::By::kFlow) {
    key_ = DataSourceKeyOf(config_.type, payload);
    return FlowOfKey(key_);
  }
  if (config_.by == SplitConfig::By::kTurn) return static_cast<int>(turn_++ % flows);
  view_.Load(payload);
  if (config_.by == SplitConfig::By::kHash) return static_cast<int>(HashOfField() % flows);
  if (field_->kind == FieldKind::kString) return by_text_.Find(view_.line_id().String(place_));
  return FlowOfKey(view_.line_id().Uint(place_));
}

std::string Split::Describe() const {
  if (config_.by == SplitConfig::By::kFlow) return "data_source_key " + std::to_string(key_);
  std::string text = std::string(field_->name) + " ";
  if (field_->kind == FieldKind::kString) return text + "'" + std::string(view_.line_id().String(place_)) + "'";
  return text + (field_->kind == FieldKind::kUint64 ? std::to_string(view_.line_id().Uint(place_))
                                                    : std::to_string(view_.line_id().Int(place_)));
}

void Split::Open() {
  open_ = true;
  signal(SIGPIPE, SIG_IGN);
  while (true) {
    bool all = true;
    for (auto& outlet : outlets_) all &= outlet->TryOpen();
    if (all) return;
    if (StopRequested()) throw Interrupted();
    poll(nullptr, 0, kLookEvery);
  }
}

void Split::Process(const Record& record, RecordSink* next) {
  const int flow = FlowOf(record.payload);
  if (flow == kNone && config_.unmatched == "error")
    throw BadRecord(Describe() + " belongs to no --flow (--unmatched drop or --unmatched PATH lets such records be)");
  if (!open_) Open();
  if (flow == kNone) {
    ++unmatched_;
    if (!unmatched_kept_) return;
  } else {
    ++records_[static_cast<size_t>(flow)];
  }
  Outlet& outlet = *outlets_[flow == kNone ? outlet_of_.back() : outlet_of_[static_cast<size_t>(flow)]];
  const bool gone = outlet.gone();
  outlet.Write(record, next);
  if (outlet.gone() && !gone) EndIfAllGone();
}

void Split::Flush(RecordSink* next) {
  for (auto& outlet : outlets_) outlet->Flush(next);
  EndIfAllGone();
}

void Split::EndIfAllGone() {
  if (!std::all_of(outlets_.begin(), outlets_.end(), [](const auto& outlet) { return outlet->gone(); })) return;
  signal(SIGPIPE, SIG_DFL);
  raise(SIGPIPE);
}

// A FIFO nothing went to is opened all the same: its reader waits for the end.
void Split::Finish(RecordSink* next) {
  if (!open_ && !StopRequested()) Open();
  Flush(next);
}

void Split::Commit() {
  for (auto& outlet : outlets_) outlet->Commit();
}

bool Split::HoldsBack() const {
  return std::any_of(outlets_.begin(), outlets_.end(), [](const auto& outlet) { return outlet->holds_back(); });
}

std::map<std::string, uint64_t> Split::DroppedBy() const {
  std::map<std::string, uint64_t> by;
  if (unmatched_ && !unmatched_kept_) by["unmatched"] = unmatched_;
  uint64_t missed = 0;
  for (const auto& outlet : outlets_) missed += outlet->missed();
  if (missed) by["reader_gone"] = missed;
  return by;
}

std::map<std::string, uint64_t> Split::Counts() const {
  std::map<std::string, uint64_t> counts;
  for (size_t i = 0; i < records_.size(); ++i) counts[config_.flows[i].name] = records_[i];
  if (unmatched_kept_) counts["unmatched"] = unmatched_;
  return counts;
}

std::vector<std::string> Split::Gone() const {
  std::vector<std::string> gone;
  for (const auto& outlet : outlets_)
    if (outlet->gone()) gone.push_back(outlet->path());
  return gone;
}

}  // namespace monolith
