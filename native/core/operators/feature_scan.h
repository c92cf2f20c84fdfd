// Finds the features of a record by name, for the operators that change them.
//
// Names: of an Example the named features (and raw ones), of an ExampleBatch the columns; of an Instance the feature
// columns, and `slot_<n>` or `fc_slot_<n>` for the v1 fids of slot n (fid::NamedSlotV1). Several features may have one name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/record.h"
#include "core/parse/name_table.h"

namespace monolith {

class FeatureScan {
 public:
  enum class Kind : uint8_t { kNamed, kRaw, kFids };
  struct Found {
    Kind kind;
    int name;                  // what Want() returned for it, or NameTable::kAbsent
    std::string_view field;    // as it stands in the record, tag included
    std::string_view content;  // of it: a message; of kFids: fids back to back
  };

  explicit FeatureScan(RecordType type);

  // Before the first record: what is looked for.
  int Want(std::string_view name) { return names_.Add(name); }
  void WantRaw() { want_raw_ = true; }    // raw features too
  void WantFids() { want_fids_ = true; }  // the flat fids of an Instance
  void WantAll() { want_all_ = true; }    // features of other names too

  // In the order of the record. Valid until the next call. Throws BadRecord.
  const std::vector<Found>& Load(std::string_view payload);

  RecordType type() const { return type_; }

 private:
  void Add(Kind kind, const char* begin, const char* end, std::string_view content, const char* origin);

  const RecordType type_;
  const uint32_t named_, raw_;  // tags
  bool want_raw_ = false, want_fids_ = false, want_all_ = false;
  NameTable names_;
  std::vector<Found> found_;
};

// Throws Error(kUsage) saying how to expand batches; `who` is the option it says it for.
void RequireRows(RecordType type, const std::string& who);

// Throws Error(kUsage) unless a new feature may have this name in such a record.
void CheckNewName(RecordType type, std::string_view name);

// The name of a NamedFeature, a raw one, a column of an Instance or of an ExampleBatch: the last that stands in it.
std::string_view FeatureName(std::string_view message, const char* origin);

}  // namespace monolith
