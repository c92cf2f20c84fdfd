#include "core/layouts/layout_fill.h"

#include <algorithm>

#include "core/layouts/pool_floats.h"
#include "core/layouts/run_reader.h"

namespace monolith::layouts {
namespace {

// Steps take turns after so many rows, so that the rows of the outputs stay in the cache.
constexpr int64_t kRowsTogether = 32;
// Fids that are fetched ahead; those of rows that follow one another do so too.
constexpr int64_t kAhead = 12;

inline void Copy(const float* __restrict from, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] = from[i];
}
inline void Add(const float* __restrict from, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] += from[i];
}

// The embeddings of the fids of one run.
struct Rows {
  const float* const* floats;
  int64_t counted;
  float of;  // fids of the run, counted or not
};

void AddPooled(const Rows& rows, Pooling pooling, const Slice& slice, float* to) {
  if (rows.counted == 0) return;
  if (pooling == Pooling::kMean) PoolRows<PoolStart::kAdd, true>(rows.floats, rows.counted, slice.start, slice.end, rows.of, to);
  else PoolRows<PoolStart::kAdd, false>(rows.floats, rows.counted, slice.start, slice.end, rows.of, to);
}

// Zeros where there is no fid.
void Write(const Rows& rows, const Feature& feature, const Slice& slice, float* to) {
  const int width = slice.width();
  if (feature.pooling == Pooling::kFirstN) {
    for (int64_t j = 0; j < feature.max_length; ++j, to += slice.position_stride) {
      if (j < rows.counted) Copy(rows.floats[j] + slice.start, width, to);
      else std::fill(to, to + width, 0.0f);
    }
    return;
  }
  if (rows.counted == 0) return std::fill(to, to + width, 0.0f);
  if (feature.pooling == Pooling::kMean) PoolRows<PoolStart::kWrite, true>(rows.floats, rows.counted, slice.start, slice.end, rows.of, to);
  else PoolRows<PoolStart::kWrite, false>(rows.floats, rows.counted, slice.start, slice.end, rows.of, to);
}

void CopyWritten(const Feature& feature, const Slice& slice, const float* from, float* to) {
  const int positions = feature.pooling == Pooling::kFirstN ? feature.max_length : 1;
  for (int j = 0; j < positions; ++j) Copy(from + j * slice.position_stride, slice.width(), to + j * slice.position_stride);
}

// A shared slice is summed apart and then added, as the first slice of its layout stored.
void AddShared(const Rows& rows, const Feature& feature, const Slice& slice, bool first_slice, int64_t begin, int64_t end, float* to) {
  const int width = slice.width();
  std::vector<float> sum(static_cast<size_t>(width));
  Write(rows, feature, slice, sum.data());
  for (int64_t row = begin; row < end; ++row) first_slice ? Copy(sum.data(), width, to + row * width) : Add(sum.data(), width, to + row * width);
}

}  // namespace

// The runs of the feature of a step.
class LayoutFiller::Reader {
 public:
  Reader(const Feature& feature, const Step& step, const Offsets& offsets, const std::vector<FloatList>& lists,
         std::vector<const float*>* found)
      : runs_(feature, step.feature, offsets, lists), step_(step), found_(*found) {
    start_ = feature.dim;
    for (const Target& t : step.targets) {
      start_ = std::min(start_, t.slice->start);
      end_ = std::max(end_, t.slice->end);
    }
  }

  bool shared() const { return runs_.shared(); }
  bool empty() const { return runs_.empty(); }
  const Feature& feature() const { return runs_.feature(); }

  // Valid until the next call.
  Rows Read(int64_t row) const {
    const Run run = runs_.RunOf(row, *step_.targets[0].layout);
    const int64_t counted = runs_.Counted(run);
    if (static_cast<size_t>(counted) > found_.size()) found_.resize(static_cast<size_t>(counted));
    for (int64_t j = 0; j < counted; ++j) {
      runs_.Fetch(run.begin + j + kAhead, start_, end_);
      const float* floats = runs_.Find(run.begin + j, end_);
      if (!floats) Fail(run.begin + j, row);
      found_[static_cast<size_t>(j)] = floats;
    }
    return {found_.data(), counted, static_cast<float>(run.size())};
  }

 private:
  [[noreturn]] void Fail(int64_t fid, int64_t row) const {
    const Target* failed = nullptr;
    for (const Target& t : step_.targets)
      if (!failed && !runs_.Find(fid, t.slice->end)) failed = &t;
    runs_.FailToFind(fid, row, *failed->layout, *failed->slice);
  }

  RunReader<const float> runs_;
  const Step& step_;
  std::vector<const float*>& found_;
  int start_ = 0, end_ = 0;
};

// What is left to do while steps are made.
struct LayoutFiller::Schedule {
  std::vector<std::vector<Target>> left;  // of each feature, layouts in order and slices in theirs
  std::vector<size_t> begun;              // of each layout: slices that are in steps
};

LayoutFiller::LayoutFiller(const LayoutPlan& plan) : plan_(plan) {
  Schedule schedule{std::vector<std::vector<Target>>(plan.features.size()), std::vector<size_t>(plan.layouts.size(), 0)};
  for (const Layout& layout : plan.layouts)
    for (const Slice& slice : layout.slices) schedule.left[slice.feature].push_back({&layout, &slice});
  while (AddNextStep(&schedule)) continue;
}

// A layout that adds takes its slices one after the other; all else may come in any order. Takes the feature that leaves the fewest
// of its slices for a later step.
bool LayoutFiller::AddNextStep(Schedule* schedule) {
  Step best{};
  std::vector<Target> best_left;
  for (size_t feature = 0; feature < plan_.features.size(); ++feature) {
    Step step{feature, {}};
    std::vector<Target> left;
    const Layout* layout = nullptr;
    size_t next = 0;
    for (const Target& t : schedule->left[feature]) {
      if (t.layout != layout) next = schedule->begun[static_cast<size_t>(t.layout - plan_.layouts.data())];
      layout = t.layout;
      const bool waits = layout->type == OutType::kAddN && t.slice != &layout->slices[next];
      (waits ? left : step.targets).push_back(t);
      if (!waits) ++next;
    }
    if (step.targets.empty() || (!best.targets.empty() && left.size() >= best_left.size())) continue;
    best = std::move(step);
    best_left = std::move(left);
    if (best_left.empty()) break;
  }
  if (best.targets.empty()) return false;
  for (const Target& t : best.targets) ++schedule->begun[static_cast<size_t>(t.layout - plan_.layouts.data())];
  schedule->left[best.feature] = std::move(best_left);
  steps_.push_back(std::move(best));
  return true;
}

void LayoutFiller::Fill(const Offsets& offsets, const std::vector<FloatList>& embeddings, int64_t begin, int64_t end,
                        float* const* outputs) const {
  std::vector<const float*> found;
  for (; begin < end; begin += kRowsTogether) {
    const int64_t stop = std::min(begin + kRowsTogether, end);
    for (const Layout& layout : plan_.layouts) {
      const int64_t width = plan_.outputs[layout.first_output].row_floats;
      float* rows = outputs[layout.first_output];
      if (layout.type == OutType::kAddN) std::fill(rows + begin * width, rows + stop * width, 0.0f);
    }
    for (const Step& step : steps_) {
      const Reader reader(plan_.features[step.feature], step, offsets, embeddings, &found);
      FillStep(step, reader, begin, stop, outputs);
    }
  }
}

void LayoutFiller::FillStep(const Step& step, const Reader& reader, int64_t begin, int64_t end, float* const* outputs) const {
  const Feature& feature = reader.feature();
  Rows rows{nullptr, 0, 0};
  const bool once = reader.shared() || reader.empty();
  if (once && !reader.empty()) rows = reader.Read(begin);
  for (int64_t row = begin; row < end; ++row) {
    if (!once) rows = reader.Read(row);
    for (const Target& t : step.targets) {
      const Slice& slice = *t.slice;
      const int64_t row_floats = plan_.outputs[slice.output].row_floats;
      float* to = outputs[slice.output] + row * row_floats + slice.offset;
      if (t.layout->type == OutType::kAddN) {
        if (!once) AddPooled(rows, feature.pooling, slice, to);
        else if (!reader.empty() && row == begin) AddShared(rows, feature, slice, &slice == &t.layout->slices[0], begin, end, outputs[slice.output]);
      } else if (once && row > begin) {
        CopyWritten(feature, slice, to - (row - begin) * row_floats, to);
      } else {
        Write(rows, feature, slice, to);
      }
    }
  }
}

}  // namespace monolith::layouts
