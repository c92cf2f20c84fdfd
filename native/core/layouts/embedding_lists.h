// Where, among the tensors of embeddings that a layout op is given, each list lies that offsets number (spec 40, section 8.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/layouts/fid_shards.h"
#include "core/layouts/layout_plan.h"

namespace monolith::layouts {

// Floats [begin, begin + size) of a tensor; an offset counts units of `stride` floats.
struct ListPlace {
  size_t tensor = 0;
  int64_t begin = 0, size = 0, stride = 1;
};

// A tensor of embeddings: a matrix [rows, columns] of version 1, else [rows] floats and one column.
struct TensorSize {
  int64_t rows = 0, columns = 1;
};

// What comes beside the embeddings.
struct ListSizes {
  std::vector<std::vector<int64_t>> row_splits;  // kFeatureRows, list table * servers + server: where its features begin, and the end
  std::vector<int32_t> floats;                   // kFlatFloats, list server * tables + table
};

// Tensors of embeddings that a form takes.
size_t NumTensors(const LayoutPlan& plan, int servers, OffsetForm form);

// Throws Error(kUsage), naming table, server and argument, where sizes do not fit the tensors.
std::vector<ListPlace> PlaceLists(const LayoutPlan& plan, int servers, OffsetForm form, const std::vector<TensorSize>& tensors,
                                  const ListSizes& sizes);

}  // namespace monolith::layouts
