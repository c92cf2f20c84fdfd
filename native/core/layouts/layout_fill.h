// Rows of tables -> layouts, and gradients of layouts -> gradients of those rows (spec 40, sections 8.3 and 8.4). No TensorFlow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/layouts/layout_plan.h"

namespace monolith::layouts {

// Bit 31 of an entry of nfl_offset: the feature has one run of fids for all rows of the batch.
constexpr uint32_t kShared = 0x80000000u;

// Where the embedding of each fid of the batch lies (spec 40, section 8.2; the arrays are what `fid_shards.h` makes).
struct Offsets {
  const uint64_t* fid = nullptr;  // high 32 bits: which list of embeddings; low 32, times its stride: the float it begins with
  int64_t num_fids = 0;
  const int32_t* feature = nullptr;  // start of each run of fids, one run for each row of each feature
  int64_t num_runs = 0;              // entries of `feature`; one more than runs where it ends with num_fids
  const uint32_t* nfl = nullptr;     // start of each feature in `feature`, one more than features
  int64_t rows = 0;
};

// Floats of the embeddings that were looked up, or of their gradients.
template <class Float>
struct FloatsOfList {
  Float* floats;
  int64_t size;
  int64_t stride = 1;  // floats from one unit of an offset to the next
};
using FloatList = FloatsOfList<const float>;
using GradientList = FloatsOfList<float>;

// Fills all layouts of a plan. Where it may, it takes each fid once for all slices of its feature: to look up where the embedding of
// a fid lies costs more than to copy it.
class LayoutFiller {
 public:
  explicit LayoutFiller(const LayoutPlan& plan);

  // Fills rows [begin, end) of every output of the plan. The order of additions is that of the specification, so that equal input
  // gives equal bits. Throws Error(kUsage), naming layout, feature and row, where offsets point to what is not there.
  void Fill(const Offsets& offsets, const std::vector<FloatList>& embeddings, int64_t begin, int64_t end, float* const* outputs) const;

 private:
  struct Target {
    const Layout* layout;
    const Slice* slice;
  };
  // Slices of one feature that are filled together.
  struct Step {
    size_t feature;
    std::vector<Target> targets;
  };
  class Reader;
  struct Schedule;

  bool AddNextStep(Schedule* schedule);
  void FillStep(const Step& step, const Reader& reader, int64_t begin, int64_t end, float* const* outputs) const;

  const LayoutPlan& plan_;
  std::vector<Step> steps_;
};

// Adds the gradients of all layouts to those of one feature's embeddings. Features have no float in common, so that one may be done
// beside another. `store_first`: the first gradient of a float is stored (versions 1 and 2), not added to the 0 that is there: a
// negative zero stays one.
void AddGradients(const LayoutPlan& plan, size_t feature, const Offsets& offsets, const float* const* output_grads,
                  const std::vector<GradientList>& grads, bool store_first = false);

}  // namespace monolith::layouts
