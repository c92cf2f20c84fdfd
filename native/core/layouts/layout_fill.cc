#include "core/layouts/layout_fill.h"

#include <algorithm>
#include <string>

#include "core/base/error.h"

namespace monolith::layouts {
namespace {

struct Run {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

inline void Add(const float* __restrict from, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] += from[i];
}
inline void Copy(const float* __restrict from, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] = from[i];
}
inline void AddDivided(const float* __restrict from, float by, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] += from[i] / by;
}
inline void CopyDivided(const float* __restrict from, float by, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] = from[i] / by;
}

// One slice of a layout over the batch: finds the runs of its feature and the floats of their fids.
class SliceReader {
 public:
  SliceReader(const LayoutPlan& plan, const Layout& layout, const Slice& slice, const Offsets& offsets,
              const std::vector<FloatList>& embeddings)
      : feature_(plan.features[slice.feature]), layout_(layout), slice_(slice), offsets_(offsets), lists_(embeddings) {
    const uint32_t here = offsets.nfl[slice.feature], next = offsets.nfl[slice.feature + 1];
    first_ = here & ~kShared;
    shared_ = (here & kShared) != 0;
    empty_ = (next & ~kShared) == first_;
  }

  bool shared() const { return shared_; }
  bool empty() const { return empty_; }
  const Feature& feature() const { return feature_; }

  Run RunOf(int64_t row) const {
    const int64_t at = first_ + (shared_ ? 0 : row);
    if (at >= offsets_.num_runs)
      Fail(row, "its run " + std::to_string(at) + " of fids is not there; feature_offset has " +
                    std::to_string(offsets_.num_runs));
    const Run run{offsets_.feature[at], at + 1 < offsets_.num_runs ? offsets_.feature[at + 1] : offsets_.num_fids};
    if (run.begin < 0 || run.begin > run.end || run.end > offsets_.num_fids)
      Fail(row, "its fids " + std::to_string(run.begin) + " to " + std::to_string(run.end) +
                    " are not there; fid_offset has " + std::to_string(offsets_.num_fids));
    return run;
  }

  // Which list, and the float in it.
  size_t ListOf(int64_t fid, int64_t row, int64_t* at) const {
    const uint64_t offset = offsets_.fid[fid];
    const size_t list = static_cast<size_t>(offset >> 32);
    const int64_t begin = static_cast<int64_t>(offset & 0xffffffffu) + slice_.start;
    if (list >= lists_.size())
      Fail(row, "the embedding of a fid lies in list " + std::to_string(list) + ", but there are " + std::to_string(lists_.size()) + " lists");
    if (begin + slice_.width() > lists_[list].size)
      Fail(row, "the embedding of a fid lies at floats " + std::to_string(begin) + " to " + std::to_string(begin + slice_.width()) +
                    " of list " + std::to_string(list) + ", which has " + std::to_string(lists_[list].size));
    *at = begin;
    return list;
  }

  const float* FloatsOf(int64_t fid, int64_t row) const {
    Fetch(fid + kAhead);
    int64_t at;
    const size_t list = ListOf(fid, row, &at);
    return lists_[list].floats + at;
  }

  // Asks for the floats of a fid to come, wherever it points to. Fids of rows that follow one another do so too.
  void Fetch(int64_t fid) const {
    if (fid >= offsets_.num_fids) return;
    const uint64_t offset = offsets_.fid[fid];
    const size_t list = static_cast<size_t>(offset >> 32);
    if (list >= lists_.size()) return;
    const uint64_t first = (offset & 0xffffffffu) + static_cast<uint64_t>(slice_.start);
    const uintptr_t at = reinterpret_cast<uintptr_t>(lists_[list].floats) + first * sizeof(float);
    __builtin_prefetch(reinterpret_cast<const void*>(at));
    if (slice_.width() > 8) __builtin_prefetch(reinterpret_cast<const void*>(at + 63));
  }

 private:
  static constexpr int64_t kAhead = 12;

  [[noreturn]] void Fail(int64_t row, const std::string& what) const {
    throw Error(ErrorCode::kUsage,
                "layout '" + layout_.name + "', feature '" + feature_.name + "', row " + std::to_string(row) + ": " + what);
  }

  const Feature& feature_;
  const Layout& layout_;
  const Slice& slice_;
  const Offsets& offsets_;
  const std::vector<FloatList>& lists_;
  int64_t first_ = 0;
  bool shared_ = false, empty_ = false;
};

// Adds the pooled slice of a row to `to`.
void AddPooled(const SliceReader& reader, const Slice& slice, int64_t row, float* to) {
  const Run run = reader.RunOf(row);
  const float count = static_cast<float>(run.size());
  for (int64_t fid = run.begin; fid < run.end; ++fid) {
    const float* from = reader.FloatsOf(fid, row);
    reader.feature().pooling == Pooling::kMean ? AddDivided(from, count, slice.width(), to) : Add(from, slice.width(), to);
  }
}

// Writes the slice of a row to `to`, zeros for a row without fids.
void Write(const SliceReader& reader, const Slice& slice, int64_t row, float* to) {
  const Run run = reader.RunOf(row);
  const int width = slice.width();
  if (reader.feature().pooling == Pooling::kFirstN) {
    for (int64_t j = 0; j < reader.feature().max_length; ++j, to += slice.position_stride) {
      if (j < run.size()) Copy(reader.FloatsOf(run.begin + j, row), width, to);
      else std::fill(to, to + width, 0.0f);
    }
    return;
  }
  if (run.size() == 0) return std::fill(to, to + width, 0.0f);
  const bool mean = reader.feature().pooling == Pooling::kMean;
  const float count = static_cast<float>(run.size());
  const float* first = reader.FloatsOf(run.begin, row);
  mean ? CopyDivided(first, count, width, to) : Copy(first, width, to);
  for (int64_t fid = run.begin + 1; fid < run.end; ++fid) {
    const float* from = reader.FloatsOf(fid, row);
    mean ? AddDivided(from, count, width, to) : Add(from, width, to);
  }
}

void FillZeros(const SliceReader& reader, const Slice& slice, float* to) {
  const int positions = reader.feature().pooling == Pooling::kFirstN ? reader.feature().max_length : 1;
  for (int j = 0; j < positions; ++j, to += slice.position_stride) std::fill(to, to + slice.width(), 0.0f);
}

void CopyWritten(const SliceReader& reader, const Slice& slice, const float* from, float* to) {
  const int positions = reader.feature().pooling == Pooling::kFirstN ? reader.feature().max_length : 1;
  for (int j = 0; j < positions; ++j) Copy(from + j * slice.position_stride, slice.width(), to + j * slice.position_stride);
}

void FillSlice(const SliceReader& reader, const Slice& slice, int64_t row_floats, int64_t begin, int64_t end, float* rows) {
  const float* first = nullptr;  // of a shared feature: the row that was written
  for (int64_t row = begin; row < end; ++row) {
    float* to = rows + row * row_floats + slice.offset;
    if (reader.empty()) {
      FillZeros(reader, slice, to);
    } else if (first) {
      CopyWritten(reader, slice, first, to);
    } else {
      Write(reader, slice, row, to);
      if (reader.shared()) first = to;
    }
  }
}

// A shared slice is summed apart and then added, as its first slice stored.
void AddSlice(const SliceReader& reader, const Slice& slice, bool first_slice, int64_t begin, int64_t end, float* rows) {
  const int width = slice.width();
  if (reader.empty() || begin == end) return;
  if (!reader.shared()) {
    for (int64_t row = begin; row < end; ++row) AddPooled(reader, slice, row, rows + row * width);
    return;
  }
  std::vector<float> sum(static_cast<size_t>(width));
  Write(reader, slice, begin, sum.data());
  for (int64_t row = begin; row < end; ++row)
    first_slice ? Copy(sum.data(), width, rows + row * width) : Add(sum.data(), width, rows + row * width);
}

void AddSliceGradients(const SliceReader& reader, const Slice& slice, int64_t row_floats, int64_t rows, const float* output_grad,
                       float* const* grads) {
  const int width = slice.width();
  for (int64_t row = 0; row < rows; ++row) {
    const float* from = output_grad + row * row_floats + slice.offset;
    const Run run = reader.RunOf(row);
    const bool sequence = reader.feature().pooling == Pooling::kFirstN;
    const int64_t counted = sequence ? std::min<int64_t>(run.size(), reader.feature().max_length) : run.size();
    for (int64_t j = 0; j < counted; ++j) {
      int64_t at;
      float* to = grads[reader.ListOf(run.begin + j, row, &at)] + at;
      if (reader.feature().pooling == Pooling::kMean) AddDivided(from, static_cast<float>(run.size()), width, to);
      else Add(sequence ? from + j * slice.position_stride : from, width, to);
    }
  }
}

}  // namespace

void FillLayout(const LayoutPlan& plan, const Layout& layout, const Offsets& offsets, const std::vector<FloatList>& embeddings,
                int64_t begin, int64_t end, float* const* outputs) {
  const bool adds = layout.type == OutType::kAddN;
  if (adds) {
    const int64_t width = plan.outputs[layout.first_output].row_floats;
    float* rows = outputs[layout.first_output];
    std::fill(rows + begin * width, rows + end * width, 0.0f);
  }
  for (const Slice& slice : layout.slices) {
    const SliceReader reader(plan, layout, slice, offsets, embeddings);
    if (adds) AddSlice(reader, slice, &slice == &layout.slices[0], begin, end, outputs[slice.output]);
    else FillSlice(reader, slice, plan.outputs[slice.output].row_floats, begin, end, outputs[slice.output]);
  }
}

void AddGradients(const LayoutPlan& plan, size_t feature, const Offsets& offsets, const std::vector<FloatList>& embeddings,
                  const float* const* output_grads, float* const* grads) {
  for (const Layout& layout : plan.layouts) {
    for (const Slice& slice : layout.slices) {
      if (slice.feature != feature) continue;
      const SliceReader reader(plan, layout, slice, offsets, embeddings);
      if (reader.empty()) continue;
      AddSliceGradients(reader, slice, plan.outputs[slice.output].row_floats, offsets.rows, output_grads[slice.output], grads);
    }
  }
}

}  // namespace monolith::layouts
