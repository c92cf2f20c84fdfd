#include "core/layouts/layout_plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "core/base/error.h"
#include "core/wire/wire.h"

namespace monolith::layouts {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;

struct RawFeature {
  std::string table;
  uint64_t pooling = 0;
  std::vector<int> dims;
  int max_length = 0;
};

struct RawSlice {
  std::string feature;
  int start = 0, end = 0;
};

struct RawLayout {
  std::vector<RawSlice> slices;
  uint64_t type = 0;
  std::vector<std::vector<int64_t>> shapes;
};

std::string_view BytesOf(const Field& f) {
  if (f.type != Type::kBytes) throw BadRecord("FeatureConfigs: field " + std::to_string(f.number) + " has the wrong wire type");
  return f.bytes;
}

[[noreturn]] void Fail(const std::string& what) { throw Error(ErrorCode::kConfig, what); }

std::string Text(const std::vector<int64_t>& dims) {
  std::string out = "[";
  for (size_t i = 0; i < dims.size(); ++i) out += (i ? ", " : "") + std::to_string(dims[i]);
  return out + "]";
}

std::string Quoted(const std::string& name) { return "'" + name + "'"; }

RawFeature DecodeFeature(std::string_view message) {
  RawFeature out;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1) out.table = BytesOf(f);
    if (f.number == 2) out.pooling = f.scalar;
    if (f.number == 3) wire::ForEachVarint(f, [&](uint64_t v) { out.dims.push_back(static_cast<int32_t>(v)); });
    if (f.number == 4) out.max_length = f.AsInt32();
  }
  return out;
}

RawSlice DecodeSlice(std::string_view message) {
  RawSlice out;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1) out.feature = BytesOf(f);
    if (f.number == 2) out.start = f.AsInt32();
    if (f.number == 3) out.end = f.AsInt32();
  }
  return out;
}

RawLayout DecodeLayout(std::string_view message) {
  RawLayout out;
  Field f, dim;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1) out.slices.push_back(DecodeSlice(BytesOf(f)));
    if (f.number == 2) out.type = f.scalar;
    if (f.number != 3) continue;
    out.shapes.emplace_back();
    for (Reader dims(BytesOf(f)); dims.Next(&dim);)
      if (dim.number == 1)
        wire::ForEachVarint(dim, [&](uint64_t v) { out.shapes.back().push_back(static_cast<int32_t>(v)); });
  }
  return out;
}

// One entry of a map<string, message>.
std::pair<std::string, std::string_view> DecodeEntry(std::string_view message) {
  std::pair<std::string, std::string_view> out;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1) out.first = BytesOf(f);
    if (f.number == 2) out.second = BytesOf(f);
  }
  return out;
}

Feature MakeFeature(const std::string& name, const RawFeature& raw) {
  Feature out;
  out.name = name;
  if (raw.pooling != 0 && raw.pooling != 1 && raw.pooling != 3)
    Fail("feature " + Quoted(name) + ": there is no pooling_type " + std::to_string(raw.pooling) + "; use SUM, MEAN or FIRSTN");
  out.pooling = static_cast<Pooling>(raw.pooling);
  out.max_length = raw.max_length;
  if (out.pooling == Pooling::kFirstN && out.max_length < 1)
    Fail("feature " + Quoted(name) + ": FIRSTN needs a max_sequence_length above 0, not " + std::to_string(out.max_length));
  if (raw.table.empty()) Fail("feature " + Quoted(name) + " is in no table");
  if (raw.dims.empty()) Fail("feature " + Quoted(name) + " has no slice_dims");
  for (int dim : raw.dims)
    if (dim < 1) Fail("feature " + Quoted(name) + ": a slice of " + std::to_string(dim) + " floats has no width");
  const int64_t dim = std::accumulate(raw.dims.begin(), raw.dims.end(), int64_t{0});
  if (dim > std::numeric_limits<int32_t>::max())
    Fail("feature " + Quoted(name) + ": an embedding of " + std::to_string(dim) + " floats is too wide");
  out.dim = static_cast<int>(dim);
  return out;
}

// Gives each slice of a layout its place, and the layout its outputs.
class Placement {
 public:
  Placement(const LayoutPlan& plan, Layout* layout) : plan_(plan), layout_(*layout) {}

  void Run(const RawLayout& raw, std::vector<Output>* outputs) {
    if (raw.slices.empty()) Fail(Where() + " has no slices");
    for (const RawSlice& s : raw.slices) AddSlice(s);
    CheckKinds();
    const size_t shapes = layout_.type == OutType::kNone ? layout_.slices.size() : 1;
    if (raw.shapes.size() != shapes)
      Fail(Where() + " of type " + NameOf(layout_.type) + " needs " + std::to_string(shapes) + " shapes, not " +
           std::to_string(raw.shapes.size()));
    layout_.first_output = outputs->size();
    layout_.num_outputs = shapes;
    Place();
    for (size_t i = 0; i < shapes; ++i) outputs->push_back(MakeOutput(i, raw.shapes[i]));
  }

 private:
  std::string Where() const { return "layout " + Quoted(layout_.name); }
  const Feature& FeatureOf(const Slice& s) const { return plan_.features[s.feature]; }
  bool sequence() const { return FeatureOf(layout_.slices[0]).pooling == Pooling::kFirstN; }
  int64_t length() const { return FeatureOf(layout_.slices[0]).max_length; }

  std::string Describe(const Slice& s) const {
    const Feature& f = FeatureOf(s);
    std::vector<int64_t> dims = {-1, s.width()};
    if (f.pooling == Pooling::kFirstN) dims.insert(dims.begin() + 1, f.max_length);
    return Quoted(f.name) + " " + Text(dims);
  }

  void AddSlice(const RawSlice& raw) {
    Slice s;
    s.feature = plan_.IndexOf(raw.feature);
    if (s.feature == plan_.features.size()) {
      std::string known;
      for (const Feature& f : plan_.features) known += (known.empty() ? "" : ", ") + f.name;
      Fail(Where() + ": feature " + Quoted(raw.feature) + " is not configured; there are " + known);
    }
    s.start = raw.start;
    s.end = raw.end;
    if (s.start < 0 || s.start >= s.end || s.end > FeatureOf(s).dim)
      Fail(Where() + ": the slice [" + std::to_string(s.start) + ", " + std::to_string(s.end) + ") of feature " + Quoted(raw.feature) +
           " does not lie in its embedding of " + std::to_string(FeatureOf(s).dim) + " floats");
    layout_.slices.push_back(s);
  }

  // Slices that make one tensor must have one form.
  void CheckKinds() const {
    if (layout_.type == OutType::kNone) return;
    const Slice& first = layout_.slices[0];
    if (layout_.type == OutType::kAddN && sequence())
      Fail(Where() + " cannot add up the sequence (FIRSTN) of feature " + Describe(first));
    for (const Slice& s : layout_.slices) {
      const bool one_form = (FeatureOf(s).pooling == Pooling::kFirstN) == sequence() && (!sequence() || FeatureOf(s).max_length == length());
      const bool one_width = layout_.type == OutType::kConcat || s.width() == first.width();
      if (!one_form || !one_width)
        Fail(Where() + " of type " + NameOf(layout_.type) + ": the slices do not fit together: feature " + Describe(first) + ", feature " +
             Describe(s));
    }
  }

  int64_t TotalWidth() const {
    int64_t total = 0;
    for (const Slice& s : layout_.slices) total += s.width();
    return total;
  }

  void Place() {
    const int64_t total = TotalWidth();
    int64_t column = 0;
    for (size_t j = 0; j < layout_.slices.size(); ++j) {
      Slice& s = layout_.slices[j];
      const int64_t positions = FeatureOf(s).pooling == Pooling::kFirstN ? FeatureOf(s).max_length : 1;
      s.output = layout_.first_output + (layout_.type == OutType::kNone ? j : 0);
      s.position_stride = layout_.type == OutType::kConcat ? total : s.width();
      if (layout_.type == OutType::kConcat) s.offset = column;
      if (layout_.type == OutType::kStack) s.offset = static_cast<int64_t>(j) * positions * s.width();
      column += s.width();
    }
  }

  std::vector<int64_t> NaturalDims(size_t shape) const {
    const Slice& s = layout_.slices[shape];
    std::vector<int64_t> dims = {-1};
    if (layout_.type == OutType::kStack) dims.push_back(static_cast<int64_t>(layout_.slices.size()));
    if (FeatureOf(s).pooling == Pooling::kFirstN) dims.push_back(FeatureOf(s).max_length);
    dims.push_back(layout_.type == OutType::kConcat ? TotalWidth() : s.width());
    return dims;
  }

  Output MakeOutput(size_t shape, const std::vector<int64_t>& given) const {
    std::vector<int64_t> dims = NaturalDims(shape);
    if (!given.empty() && given[0] >= 0) dims[0] = given[0];
    if (given != dims) {
      std::string slices;
      for (const Slice& s : layout_.slices) slices += (slices.empty() ? "" : ", ") + Describe(s);
      Fail(Where() + " of type " + NameOf(layout_.type) + " has the shape " + Text(given) + ", but its slices make " + Text(dims) +
           ": feature " + slices);
    }
    Output out;
    out.row_floats = 1;
    for (size_t i = 1; i < dims.size(); ++i) {
      if (dims[i] > std::numeric_limits<int32_t>::max() / out.row_floats) Fail(Where() + ": a row of the shape " + Text(dims) + " is too large");
      out.row_floats *= dims[i];
    }
    out.dims = std::move(dims);
    return out;
  }

  const LayoutPlan& plan_;
  Layout& layout_;
};

}  // namespace

const char* NameOf(OutType type) {
  static const char* const names[] = {"CONCAT", "STACK", "ADDN", "NONE"};
  return names[static_cast<size_t>(type)];
}

size_t LayoutPlan::IndexOf(std::string_view feature) const {
  const auto at = std::lower_bound(features.begin(), features.end(), feature, [](const Feature& f, std::string_view n) { return f.name < n; });
  return at != features.end() && at->name == feature ? static_cast<size_t>(at - features.begin()) : features.size();
}

LayoutPlan DecodeLayoutPlan(std::string_view feature_configs) {
  std::map<std::string, RawFeature> features;
  std::map<std::string, RawLayout> layouts;
  std::map<std::string, size_t> tables;
  Field f;
  for (Reader r(feature_configs); r.Next(&f);) {
    if (f.number != 1 && f.number != 2) continue;
    const auto [name, message] = DecodeEntry(BytesOf(f));
    if (f.number == 1) features[name] = DecodeFeature(message);
    else layouts[name] = DecodeLayout(message);
  }
  LayoutPlan plan;
  for (const auto& [name, raw] : features) tables[raw.table] = 0;
  for (auto& [name, index] : tables) {
    index = plan.tables.size();
    plan.tables.push_back(name);
  }
  for (const auto& [name, raw] : features) {
    plan.features.push_back(MakeFeature(name, raw));
    plan.features.back().table = tables[raw.table];
  }
  for (const auto& [name, raw] : layouts) {
    if (raw.type > 3) Fail("layout " + Quoted(name) + ": there is no out_type " + std::to_string(raw.type));
    Layout layout;
    layout.name = name;
    layout.type = static_cast<OutType>(raw.type);
    Placement(plan, &layout).Run(raw, &plan.outputs);
    plan.layouts.push_back(std::move(layout));
  }
  return plan;
}

}  // namespace monolith::layouts
