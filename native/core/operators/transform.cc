#include "core/operators/transform.h"

#include "core/base/error.h"

namespace monolith {
namespace {

// Takes the one record that comes out.
class Capture : public RecordSink {
 public:
  explicit Capture(Record* record) : record_(record) {}
  void Write(const Record& record) override {
    *record_ = record;
    kept_ = true;
  }
  void Flush() override {}
  bool kept() const { return kept_; }

 private:
  Record* record_;
  bool kept_ = false;
};

// FilterByFid → filter_by_fid.
std::string WordOf(const std::string& name) {
  std::string word;
  for (char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && !word.empty()) word += '_';
    word += upper ? static_cast<char>(c | 0x20) : c;
  }
  return word;
}

}  // namespace

Transform::Transform(std::vector<Step> steps) {
  for (Step& step : steps) {
    if (step.empty() || step.size() > 2) throw Error(ErrorCode::kUsage, "a step has one branch or two");
    const std::string name = step.size() == 1 ? step[0].name : "(" + step[0].name + " or " + step[1].name + ")";
    whole_ = whole_.empty() ? name : "(" + whole_ + " and " + name + ")";
    Stage& stage = stages_.emplace_back();
    for (Branch& branch : step) {
      stage.branches.push_back(std::make_unique<Counted>());
      stage.branches.back()->branch = std::move(branch);
    }
  }
  if (whole_.empty()) whole_ = "Identity";
}

void Transform::Process(const Record& record, RecordSink* next) {
  in_.Add();
  Record current = record;
  for (Stage& stage : stages_) {
    bool kept = false;
    for (const auto& counted : stage.branches) kept |= Keeps(counted.get(), &current);
    if (kept) continue;
    ++stage.dropped;
    return;
  }
  out_.Add();
  next->Write(current);
}

bool Transform::Keeps(Counted* counted, Record* record) {
  counted->in.Add();
  if (!counted->branch.op) return false;
  const Record before = *record;
  Capture capture(record);
  counted->branch.op->Process(before, &capture);
  if (capture.kept()) counted->out.Add();
  return capture.kept();
}

std::map<std::string, uint64_t> Transform::DroppedBy() const {
  std::map<std::string, uint64_t> by;
  for (const Stage& stage : stages_)
    if (stage.dropped) by[stage.branches.size() > 1 ? "or" : WordOf(stage.branches[0]->branch.name)] += stage.dropped;
  return by;
}

std::vector<Transform::Counts> Transform::Summary() const {
  std::vector<Counts> all;
  for (const Stage& stage : stages_)
    for (const auto& counted : stage.branches) all.push_back({counted->branch.name, counted->in.get(), counted->out.get()});
  all.push_back({whole_, in_.get(), out_.get()});
  return all;
}

}  // namespace monolith
