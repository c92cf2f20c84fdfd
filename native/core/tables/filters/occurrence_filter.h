// Filters that keep rare ids out of tables: an id gets a row once it has occurred often enough (spec 30, section 8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace monolith {

// Occurrences of ids that have no row, and how many each needs.
struct Occurrences {
  const int64_t* ids;
  const uint32_t* thresholds;  // above 0
  const uint32_t* counts;      // of each id in the batch, above 0; nullptr: 1 each, and ids may repeat
  size_t n;
  int64_t global_step;  // 0: none
};

class OccurrenceFilter {
 public:
  virtual ~OccurrenceFilter() = default;

  // Counts the occurrences in order and sets drop[i] to 1 for those that are to stay out, else to 0. From any thread.
  virtual void Filter(const Occurrences& batch, uint8_t* drop) = 0;

  // The largest threshold it can tell apart.
  virtual uint32_t max_threshold() const { return UINT32_MAX; }
  // It decides by what a table does not have, and lets everything pass where there is no table.
  virtual bool needs_table() const { return false; }
  // It never keeps anything out.
  virtual bool passes_all() const { return false; }

  // How many files it is saved in; 0: it has nothing to save.
  virtual int split_num() const { return 0; }
  // Writes <basename>-%05d-of-%05d, all or none. Counting goes on: of each id the files hold a count between those at the beginning
  // and at the end. Nothing is written by a filter without splits.
  virtual void Save(const std::string& basename) {}
  // Takes over what Save wrote. Throws Error(kNoInput) when there are no files, Error(kBadData) naming file and offset, Error(kConfig)
  // for files of another filter; it is then as it was.
  virtual void Restore(const std::string& basename);
  // False, and the filter is empty, when there are no files.
  bool RestoreIfThere(const std::string& basename);
  virtual void Clear() {}
};

// Never keeps anything out.
class PassAllFilter : public OccurrenceFilter {
 public:
  void Filter(const Occurrences& batch, uint8_t* drop) override;
  bool passes_all() const override { return true; }
};

}  // namespace monolith
