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

// work(to, from, fids of the run) for each fid that a gradient goes to.
template <class Work>
void ForEachGradient(const RunReader<float>& reader, const Layout& layout, const Slice& slice, int64_t row_floats, int64_t rows,
                     const float* output_grad, Work work) {
  const int64_t step = reader.feature().pooling == Pooling::kFirstN ? slice.position_stride : 0;
  for (int64_t row = 0; row < rows; ++row) {
    const float* from = output_grad + row * row_floats + slice.offset;
    const Run run = reader.RunOf(row, layout);
    const int64_t counted = reader.Counted(run);
    for (int64_t j = 0; j < counted; ++j) {
      float* to = reader.Find(run.begin + j, slice.end);
      if (!to) reader.FailToFind(run.begin + j, row, layout, slice);
      work(to + slice.start, from + j * step, static_cast<float>(run.size()));
    }
  }
}

// work(reader, layout, slice) for each slice of a feature that has fids.
template <class Work>
void ForEachSlice(const LayoutPlan& plan, size_t feature, const Offsets& offsets, const std::vector<GradientList>& grads, Work work) {
  const RunReader<float> reader(plan.features[feature], feature, offsets, grads);
  if (reader.empty()) return;
  for (const Layout& layout : plan.layouts)
    for (const Slice& slice : layout.slices)
      if (slice.feature == feature) work(reader, layout, slice);
}

}  // namespace

void AddGradients(const LayoutPlan& plan, size_t feature, const Offsets& offsets, const float* const* output_grads,
                  const std::vector<GradientList>& grads, bool store_first) {
  const auto each = [&](auto work) {
    ForEachSlice(plan, feature, offsets, grads, [&](const RunReader<float>& reader, const Layout& layout, const Slice& slice) {
      const int64_t row_floats = plan.outputs[slice.output].row_floats;
      ForEachGradient(reader, layout, slice, row_floats, offsets.rows, output_grads[slice.output],
                      [&](float* to, const float* from, float of) { work(slice, to, from, of); });
    });
  };
  // Whatever is added to a negative zero is what comes out.
  if (store_first) each([](const Slice& slice, float* to, const float*, float) { std::fill(to, to + slice.width(), -0.0f); });
  if (plan.features[feature].pooling == Pooling::kMean)
    each([](const Slice& slice, float* to, const float* from, float of) { AddDivided(from, of, slice.width(), to); });
  else
    each([](const Slice& slice, float* to, const float* from, float) { Add(from, slice.width(), to); });
}

}  // namespace monolith::layouts
