#pragma once

#include <string>
#include <string_view>

#include "core/records/convert.h"
#include "core/records/example_view.h"

namespace monolith {

// Append the message without what `pruning` (not kAsIs) leaves out. In an Example the reserved features set the fields
// line_id, label and instance_weight first.
void PruneExample(std::string_view example, Pruning pruning, ExampleView* view, Scratch* scratch, std::string* out);
void PruneExampleBatch(std::string_view batch, Pruning pruning, std::string* out);

}  // namespace monolith
