#include <algorithm>

#include "core/layouts/layout_fill.h"
#include "core/layouts/run_reader.h"

namespace monolith::layouts {
namespace {

inline void Add(const float* __restrict from, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] += from[i];
}
inline void AddDivided(const float* __restrict from, float by, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] += from[i] / by;
}

void AddSlice(const RunReader<float>& reader, const Layout& layout, const Slice& slice, int64_t row_floats, int64_t rows,
              const float* output_grad) {
  const Pooling pooling = reader.feature().pooling;
  for (int64_t row = 0; row < rows; ++row) {
    const float* from = output_grad + row * row_floats + slice.offset;
    const Run run = reader.RunOf(row, layout);
    const int64_t counted = reader.Counted(run);
    for (int64_t j = 0; j < counted; ++j) {
      float* to = reader.Find(run.begin + j, slice.end);
      if (!to) reader.FailToFind(run.begin + j, row, layout, slice);
      if (pooling == Pooling::kMean) AddDivided(from, static_cast<float>(run.size()), slice.width(), to + slice.start);
      else Add(pooling == Pooling::kFirstN ? from + j * slice.position_stride : from, slice.width(), to + slice.start);
    }
  }
}

}  // namespace

void AddGradients(const LayoutPlan& plan, size_t feature, const Offsets& offsets, const float* const* output_grads,
                  const std::vector<GradientList>& grads) {
  for (const Layout& layout : plan.layouts) {
    for (const Slice& slice : layout.slices) {
      if (slice.feature != feature) continue;
      const RunReader<float> reader(plan.features[feature], feature, offsets, grads);
      if (!reader.empty()) AddSlice(reader, layout, slice, plan.outputs[slice.output].row_floats, offsets.rows, output_grads[slice.output]);
    }
  }
}

}  // namespace monolith::layouts
