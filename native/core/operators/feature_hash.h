// Makes fids of integers and texts (spec 20, section 21).
//
// An integer becomes the fid of ExtractFid: CityHash64 of its eight bytes, of which 49 bits are kept, under the slot (so
// that about half the fids of an even slot land in the next one, as in data made so far; `exact` keeps 48). Bytes v of
// feature n become CityHash64 of v + "-" + n, 48 bits, under the slot. Lists of lists become sequences of fids. What else
// a feature may hold stays as it is. An Instance's integer and bytes columns become fid columns; quantised floats stay.
//
// A raw feature of the name, where there is no feature of it, becomes one with its name and id: the numbers of all its
// parts, one behind the other, or the fids of its bytes; of several kinds the last counts. It is appended; the raw one stays.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "core/operators/feature_scan.h"
#include "core/operators/operator.h"
#include "core/operators/record_edit.h"
#include "core/records/feature_value.h"

namespace monolith {

struct FeatureHashConfig {
  struct Rule {
    std::string name;
    uint32_t slot = 0;  // 0..32767
  };
  RecordType type = RecordType::kInstance;
  std::vector<Rule> rules;
  bool exact = false;
};

class FeatureHash : public Operator {
 public:
  // Throws Error(kUsage) for a mistake in the configuration.
  explicit FeatureHash(FeatureHashConfig config);
  const char* name() const override { return "feature_hash"; }
  void Process(const Record& record, RecordSink* next) override;

 private:
  uint64_t OfInteger(size_t rule, uint64_t value) const;
  uint64_t OfBytes(size_t rule, std::string_view value);
  void AddIntegers(size_t rule, std::string_view message, uint32_t number, std::string* packed);
  void AddTexts(size_t rule, std::string_view message, uint32_t number, std::string* packed);
  // Appends a list message for each list of `lists`.
  template <class Add>
  void AddLists(std::string_view lists, uint32_t to, std::string* out, Add add);

  bool HashNamed(size_t rule, std::string_view named, std::string* out);
  // The member of the oneof that the value becomes; false when it stays.
  bool HashValue(size_t rule, const FeatureValue& value, std::string* out);
  void AppendUnknown(std::string_view feature, std::string* out);
  bool HashColumn(size_t rule, std::string_view column, std::string* out);
  void AppendRaw(size_t rule, std::string_view raw, std::string* out);
  void AddRawPart(size_t rule, std::string_view feature, uint32_t* member, std::string* content);

  const FeatureHashConfig config_;
  FeatureScan scan_;
  std::vector<char> named_;  // by rule: the record has a feature of the name
  const char* origin_ = nullptr;
  RecordEdit edit_;
  std::deque<std::string> storage_;
  std::string message_, feature_, value_, text_;
};

}  // namespace monolith
