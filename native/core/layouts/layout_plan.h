// What is made of the embeddings of a batch: features with their tables, and layouts, each a tensor (or several) in the form a
// network takes. Comes from a message FeatureConfigs (spec 40, section 8.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace monolith::layouts {

enum class Pooling : uint8_t { kSum = 0, kMean = 1, kFirstN = 3 };
enum class OutType : uint8_t { kConcat = 0, kStack = 1, kAddN = 2, kNone = 3 };

const char* NameOf(OutType type);

struct Feature {
  std::string name;
  size_t table = 0;  // index into LayoutPlan::tables
  Pooling pooling = Pooling::kSum;
  int max_length = 0;  // kFirstN: fids of a row that count
  int dim = 0;         // floats of its embedding, all slices
};

// Columns [start, end) of a feature's embedding, and where they go.
struct Slice {
  size_t feature = 0;
  int start = 0, end = 0;
  size_t output = 0;            // tensor, over all layouts
  int64_t offset = 0;           // of its first float in a row of that tensor
  int64_t position_stride = 0;  // kFirstN: floats from one position to the next

  int width() const { return end - start; }
};

struct Output {
  std::vector<int64_t> dims;  // dims[0] is -1 (the rows of the batch) or their number
  int64_t row_floats = 0;
};

struct Layout {
  std::string name;
  OutType type = OutType::kNone;
  std::vector<Slice> slices;
  size_t first_output = 0, num_outputs = 0;
};

struct LayoutPlan {
  std::vector<std::string> tables;  // sorted
  std::vector<Feature> features;    // sorted by name
  std::vector<Layout> layouts;      // sorted by name
  std::vector<Output> outputs;      // of one layout after the other

  // Index of a feature, or features.size().
  size_t IndexOf(std::string_view feature) const;
};

// Throws Error(kConfig), which names layout, feature and shapes, for what does not fit together; BadRecord for broken bytes.
LayoutPlan DecodeLayoutPlan(std::string_view feature_configs);

}  // namespace monolith::layouts
