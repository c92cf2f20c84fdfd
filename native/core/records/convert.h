// Conversion between the three containers, as an operator.
//
// What becomes of which field:
//   instance → example        `value` becomes the feature "value"; v1 fids grouped by slot become "fc_slot_<n>"; a column
//                             keeps its first filled list. dense, label_tag, next_fid and data_source_key have no place.
//   example → instance        v1 fids go into the flat list; every other list becomes a column. doubles, scalars and v1
//                             sequences have no place (the column stays empty), nor have raw features.
//   example_batch → rows      one record a row; columns `__LINE_ID__`, `__LABEL__`, `instance_weight` become fields.
//   rows → example_batch      at most batch_size rows; columns in order of first appearance, then the reserved ones.
//                             A row without a column gets an empty feature. Rows of another data source start a new batch.
// A reserved feature of an Example wins over its field; of two with one name the last counts. The same type on both
// sides passes records on as they are.
#pragma once

#include <memory>

#include "core/operators/operator.h"

namespace monolith {

enum class Pruning {
  kAsIs,
  kFeature,     // named features are left out, the reserved ones apart
  kRawFeature,  // raw features are left out
};

// Accepts `as_is`, `feature`, `raw_feature`; throws Error(kUsage) otherwise.
Pruning ParsePruning(std::string_view name);

struct ConvertOptions {
  RecordType from = RecordType::kInstance, to = RecordType::kExample;
  Pruning pruning = Pruning::kAsIs;  // Instances are never pruned
  size_t batch_size = 256;           // of example_batch made from rows, at least 1
};

std::unique_ptr<Operator> MakeConvert(const ConvertOptions& options);

}  // namespace monolith
