// What makes new features of others, record by record: crosses and masks. A feature that has the name already is
// replaced; the new one stands behind all that was there. Not for example_batch.
//
// What a source stands for: of an Example the last feature of the name; of an Instance all columns of the name, or for
// slot_<n> without such a column the v1 fids of the slot. An absent one is empty.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/fid.h"
#include "core/operators/feature_scan.h"
#include "core/operators/operator.h"
#include "core/operators/record_edit.h"
#include "core/records/feature_value.h"

namespace monolith {

// The content of one source in one record.
class FeatureContent {
 public:
  void Begin(RecordType type, int slot, const char* origin);
  void Add(const FeatureScan::Found& found);

  // Calls visit(fids, v1) with runs of fids as they stand in the record: fid_v1_list and fid_v2_list of an Example, fid
  // and fid_list of a column.
  template <class Visit>
  void ForEachRun(Visit visit) {
    if (type_ == RecordType::kExample) return ForEachExampleRun(visit);
    for (std::string_view column : messages_) {
      ForEachFixedRun<8>(column, schema::column::kFid, origin_, [&](std::string_view fids) { visit(fids, false); });
      ForEachBytesOf(column, schema::column::kFidList, origin_, [&](std::string_view list) {
        ForEachFixedRun<8>(list, schema::kListValue, origin_, [&](std::string_view fids) { visit(fids, false); });
      });
    }
    if (!messages_.empty()) return;
    for (std::string_view fids : flat_)
      for (size_t i = 0; i < fids.size(); i += 8)
        if (fid::SlotV1(LoadLe<uint64_t>(fids.data() + i)) == static_cast<uint64_t>(slot_)) visit(fids.substr(i, 8), true);
  }
  // Elements of its list; of a list of lists the number of lists.
  size_t Length();

 private:
  FeatureValue Value();
  template <class Visit>
  void ForEachExampleRun(Visit visit) {
    const FeatureValue value = Value();
    const bool v1 = value.number == schema::feature::kFidV1List;
    if (!v1 && value.number != schema::feature::kFidV2List) return;
    ForEachFixedRun<8>(value.bytes, schema::kListValue, origin_, [&](std::string_view fids) { visit(fids, v1); });
  }
  size_t ExampleLength();
  size_t ColumnLength(std::string_view column);

  RecordType type_ = RecordType::kInstance;
  int slot_ = -1;
  const char* origin_ = nullptr;
  std::vector<std::string_view> messages_, flat_;
  std::deque<std::string> storage_;
};

class DerivedFeature : public Operator {
 public:
  struct Spec {
    std::string name;  // of the new feature
    std::vector<std::string> sources;
  };
  void Process(const Record& record, RecordSink* next) final;

 protected:
  // Throws Error(kUsage) for a mistake; `who` is the option it says it for.
  DerivedFeature(RecordType type, const char* who, const std::vector<Spec>& specs);
  // Puts the packed elements of new feature `i` into `packed`, which is empty.
  virtual NewFeature Make(size_t i, FeatureContent* sources, std::string* packed) = 0;

 private:
  struct Place {
    size_t first;  // of its sources
    size_t count;
    int name;
    std::string text;
  };

  FeatureScan scan_;
  std::vector<Place> places_;
  std::vector<int> source_names_, source_slots_;
  std::vector<FeatureContent> sources_;
  RecordEdit edit_;
  std::string packed_;
};

}  // namespace monolith
