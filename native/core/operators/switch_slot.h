// Moves fids to another slot, so that features share the embeddings of one (spec 20, section 19.2).
//
// In place: the v1 and v2 fid lists of a feature get the slot; sequences and other kinds stay. As a copy: a feature
// <name>_<suffix> with the same id, sorted id and type, and the fids under the slot, is appended; it has no content where
// there was no fid list. A v1 slot of an Instance is copied into its flat fids. Other parts of a record stay as they are.
#pragma once

#include <string>
#include <vector>

#include "core/operators/feature_scan.h"
#include "core/operators/operator.h"
#include "core/operators/record_edit.h"

namespace monolith {

struct SwitchSlotConfig {
  struct Rule {
    std::string name;
    uint32_t slot = 0;  // 0..32767; of v1 fids 0..1023
    bool in_place = true;
  };
  RecordType type = RecordType::kInstance;
  std::vector<Rule> rules;
  std::string suffix = "share";
};

class SwitchSlot : public Operator {
 public:
  // Throws Error(kUsage) for a mistake in the configuration.
  explicit SwitchSlot(SwitchSlotConfig config);
  const char* name() const override { return "switch_slot"; }
  // A v1 list that would get a slot past 1023 is a BadRecord.
  void Process(const Record& record, RecordSink* next) override;

 private:
  static constexpr int32_t kNone = -1;
  struct Target {  // of a name; kNone where it is not asked for
    int32_t in_place = kNone, copy = kNone;
    std::string copy_name;
  };
  struct Run {  // fids that get another slot
    std::string_view fids;
    uint32_t slot;
    bool v1;
  };

  void Collect(const FeatureScan::Found& found);
  void CollectFlat(std::string_view fids);
  void CollectLists(std::string_view feature, const Target& target);
  void AppendCopies(std::string_view found, const Target& target, std::string* out);
  void AppendExampleCopy(std::string_view named, const Target& target, std::string* out);
  void AppendBatchCopy(std::string_view column, const Target& target, std::string* out);
  void AppendColumnCopy(std::string_view column, const Target& target, std::string* out);
  bool CopyFeature(std::string_view feature, uint32_t slot, std::string* out);
  void CheckV1(uint32_t slot) const;

  const SwitchSlotConfig config_;
  FeatureScan scan_;
  std::vector<Target> targets_;  // by number of the name
  Target flat_[1024];            // of an Instance, by slot
  std::vector<uint32_t> flat_slots_;
  const char* origin_ = nullptr;
  std::vector<Run> runs_;
  std::vector<uint64_t> flat_copies_;
  std::string out_, part_, copy_, merged_;
};

}  // namespace monolith
