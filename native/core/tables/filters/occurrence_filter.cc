#include "core/tables/filters/occurrence_filter.h"

#include <cstring>

#include "core/base/error.h"
#include "core/tables/checkpoint_files.h"

namespace monolith {

void OccurrenceFilter::Restore(const std::string& basename) {
  throw Error(ErrorCode::kNoInput, basename + ": this kind of filter has no files to be restored from");
}

bool OccurrenceFilter::RestoreIfThere(const std::string& basename) {
  FinishPublish(basename);
  if (HasShards(basename)) {
    Restore(basename);
    return true;
  }
  Clear();
  return false;
}

void PassAllFilter::Filter(const Occurrences& batch, uint8_t* drop) { std::memset(drop, 0, batch.n); }

}  // namespace monolith
