// Rows of a checkpoint in the shape of a table that has other segments or optimizers.
#pragma once

#include "core/tables/entry_dump.h"
#include "core/tables/optimizer.h"
#include "core/tables/restore_options.h"

namespace monolith {

class RowAdapter {
 public:
  RowAdapter(const RowPlan& plan, const RestoreOptions& options) : plan_(plan), options_(options) {}

  // Fills floats[row_floats]. Segment by segment: weights and state as far as both sides have them, the rest as a fresh row has
  // it. Returns the name of the mode that is needed and not allowed, or null. Throws BadRecord.
  const char* Adapt(const DumpedEntry& entry, float* floats);
  // Whether the last row was of another shape.
  bool changed() const { return changed_; }

 private:
  struct Stored {
    const DumpedEntry::Segment* segment;  // null: no state is stored
    int dim;                              // -1: not known yet
  };
  void FindSegments(const DumpedEntry& entry);
  void FindDims(const DumpedEntry& entry);
  const char* Needed() const;
  void CopyState(const DumpedEntry& entry, const Stored& stored, const SegmentPlan& p, float* floats) const;
  uint32_t NumberOf(const Stored& stored) const { return stored.segment && stored.segment->kind ? stored.segment->kind->number : 0; }

  const RowPlan& plan_;
  const RestoreOptions& options_;
  std::vector<Stored> stored_;
  bool changed_ = false;
};

}  // namespace monolith
