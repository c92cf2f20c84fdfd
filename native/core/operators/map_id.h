// Replaces integers by a table (spec 20, section 16): the values of int64 lists, lists of lists and single values of a
// feature. Other kinds stay as they are. For example_batch too.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/operators/feature_scan.h"
#include "core/operators/operator.h"
#include "core/operators/record_edit.h"

namespace monolith {

struct MapIdConfig {
  struct Rule {
    std::string name;
    std::vector<std::pair<int64_t, int64_t>> table;  // from, to; of two with one `from` the first counts
    int64_t other = -1;                              // for what is not in the table
  };
  RecordType type = RecordType::kInstance;
  std::vector<Rule> rules;
};

class MapId : public Operator {
 public:
  // Throws Error(kUsage) for a mistake in the configuration.
  explicit MapId(MapIdConfig config);
  const char* name() const override { return "map_id"; }
  void Process(const Record& record, RecordSink* next) override;

 private:
  struct Table {
    std::unordered_map<int64_t, int64_t> to;
    int64_t other = -1;
  };
  int64_t Mapped(const Table& table, uint64_t from) const;
  // Each appends a message with its integers replaced; false when there were none.
  bool MapFeatures(std::string_view named, const Table& table, std::string* out);
  bool MapFeature(std::string_view feature, const Table& table, std::string* out);
  bool MapLists(std::string_view message, uint32_t number, const Table& table, std::string* out);
  bool MapValues(std::string_view message, uint32_t number, const Table& table, std::string* out);
  bool MapColumn(std::string_view column, const Table& table, std::string* out);
  // Appends `message`, with each field of `tag` replaced by what `change(content, out)` makes of it.
  template <class Change>
  bool Rewrite(std::string_view message, uint32_t tag, std::string* out, Change change);

  const RecordType type_;
  FeatureScan scan_;
  std::vector<Table> tables_;  // by number of the name
  const char* origin_ = nullptr;
  RecordEdit edit_;
  std::string message_;
};

}  // namespace monolith
