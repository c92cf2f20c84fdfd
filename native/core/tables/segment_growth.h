// How a segment makes room: a larger index over the same rows, or parts with copies of the rows.
#pragma once

#include <memory>
#include <vector>

#include "core/tables/segment.h"

namespace monolith {

// What stands in for `segment` when it can take no more: one with a larger index over the same rows, or quarters with copies of the
// rows. Writers must be held out.
std::vector<std::shared_ptr<Segment>> GrowSegment(const Segment& segment, bool track_changes);
// One segment, or more where keys crowd in one place, with copies of the rows of this one, without gaps.
std::vector<std::shared_ptr<Segment>> CopySegment(const Segment& segment, bool track_changes);

}  // namespace monolith
