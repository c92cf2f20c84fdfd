// Finds the runs of fids of one feature, and the floats of the fids.
#pragma once

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/layouts/layout_fill.h"

namespace monolith::layouts {

struct Run {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

template <class Float>
class RunReader {
 public:
  RunReader(const Feature& feature, size_t index, const Offsets& offsets, const std::vector<FloatsOfList<Float>>& lists)
      : feature_(feature), offsets_(offsets), lists_(lists) {
    const uint32_t here = offsets.nfl[index], next = offsets.nfl[index + 1];
    first_ = here & ~kShared;
    shared_ = (here & kShared) != 0;
    empty_ = (next & ~kShared) == first_;
  }

  const Feature& feature() const { return feature_; }
  bool shared() const { return shared_; }
  bool empty() const { return empty_; }

  // Fids of a run that make a difference.
  int64_t Counted(const Run& run) const {
    return feature_.pooling == Pooling::kFirstN && run.size() > feature_.max_length ? feature_.max_length : run.size();
  }

  Run RunOf(int64_t row, const Layout& layout) const {
    const int64_t at = first_ + (shared_ ? 0 : row);
    if (at >= offsets_.num_runs)
      Fail(row, layout, "its run " + std::to_string(at) + " of fids is not there; feature_offset has " + std::to_string(offsets_.num_runs));
    const Run run{offsets_.feature[at], at + 1 < offsets_.num_runs ? offsets_.feature[at + 1] : offsets_.num_fids};
    if (run.begin < 0 || run.begin > run.end || run.end > offsets_.num_fids)
      Fail(row, layout, "its fids " + std::to_string(run.begin) + " to " + std::to_string(run.end) + " are not there; fid_offset has " +
                            std::to_string(offsets_.num_fids));
    return run;
  }

  // The embedding of a fid, if its list has it up to `end` floats; else nullptr.
  Float* Find(int64_t fid, int end) const {
    const uint64_t offset = offsets_.fid[fid];
    const uint64_t list = offset >> 32;
    if (list >= lists_.size()) return nullptr;
    const int64_t at = static_cast<int64_t>(offset & 0xffffffffu) * lists_[list].stride;
    return at + end > lists_[list].size ? nullptr : lists_[list].floats + at;
  }

  // Of a slice for which Find gives nullptr.
  [[noreturn]] void FailToFind(int64_t fid, int64_t row, const Layout& layout, const Slice& slice) const {
    const uint64_t offset = offsets_.fid[fid];
    const uint64_t list = offset >> 32;
    if (list >= lists_.size())
      Fail(row, layout,
           "the embedding of a fid lies in list " + std::to_string(list) + ", but there are " + std::to_string(lists_.size()) + " lists");
    const int64_t at = static_cast<int64_t>(offset & 0xffffffffu) * lists_[list].stride;
    Fail(row, layout, "the embedding of a fid lies at floats " + std::to_string(at + slice.start) + " to " + std::to_string(at + slice.end) +
                          " of list " + std::to_string(list) + ", which has " + std::to_string(lists_[list].size));
  }

  // Asks for floats [start, end) of the embedding of a fid to come, wherever it points to.
  void Fetch(int64_t fid, int start, int end) const {
    if (fid >= offsets_.num_fids) return;
    const uint64_t offset = offsets_.fid[fid];
    const uint64_t list = offset >> 32;
    if (list >= lists_.size()) return;
    const uint64_t at = (offset & 0xffffffffu) * static_cast<uint64_t>(lists_[list].stride);
    const uintptr_t floats = reinterpret_cast<uintptr_t>(lists_[list].floats) + at * sizeof(float);
    const uintptr_t last = floats + static_cast<uintptr_t>(end) * sizeof(float) - 1;
    for (uintptr_t line = floats + static_cast<uintptr_t>(start) * sizeof(float); line < last; line += 64)
      __builtin_prefetch(reinterpret_cast<const void*>(line));
    __builtin_prefetch(reinterpret_cast<const void*>(last));
  }

 private:
  [[noreturn]] void Fail(int64_t row, const Layout& layout, const std::string& what) const {
    throw Error(ErrorCode::kUsage, "layout '" + layout.name + "', feature '" + feature_.name + "', row " + std::to_string(row) + ": " + what);
  }

  const Feature& feature_;
  const Offsets& offsets_;
  const std::vector<FloatsOfList<Float>>& lists_;
  int64_t first_ = 0;
  bool shared_ = false, empty_ = false;
};

}  // namespace monolith::layouts
