// Renames, drops and keeps features by name: named and raw ones, columns of a batch, columns of an Instance.
//
// In an Instance `slot_<n>` stands for the v1 fids of slot n; these are dropped and kept as a feature is, but have no
// name that could change. Old names count everywhere: what is renamed is dropped or kept by the name it came with. The
// reserved features are always kept, but go when they are dropped by name.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/operators/feature_scan.h"
#include "core/operators/operator.h"
#include "core/operators/record_edit.h"

namespace monolith {

struct ColumnsConfig {
  RecordType type = RecordType::kInstance;
  std::vector<std::pair<std::string, std::string>> rename;  // from, to
  std::vector<std::string> drop;
  std::optional<std::vector<std::string>> keep;  // nothing else stays
};

class Columns : public Operator {
 public:
  // Throws Error(kUsage) for a mistake in the configuration.
  explicit Columns(ColumnsConfig config);
  const char* name() const override { return "columns"; }
  void Process(const Record& record, RecordSink* next) override;

 private:
  struct Rule {
    bool drop = false, keep = false;
    std::string rename;  // "" for none
  };
  Rule* RuleOf(const std::string& name);
  bool Drops(const FeatureScan::Found& found) const;
  void Rename(const FeatureScan::Found& found, const std::string& to, std::string* out);
  void Thin(std::string_view fids, bool* any_gone);
  bool Touch(const FeatureScan::Found& found);

  const bool keep_only_;
  FeatureScan scan_;
  std::vector<Rule> rules_;  // by number of the name
  bool gone_slots_[1024] = {};
  bool some_slots_gone_ = false;
  RecordEdit edit_;
  std::string part_;
};

}  // namespace monolith
