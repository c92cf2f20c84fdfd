// Layouts without TensorFlow: where fids go, what comes of rows, what is refused. The numbers are those of tests/test_layouts.py (TV8).
#include "core/layouts/fid_shards.h"
#include "core/layouts/layout_fill.h"
#include "core/wire/wire.h"
#include "tests/check.h"

using namespace monolith;
using namespace monolith::layouts;

namespace {


std::string FeatureBytes(const std::string& table, int pooling, std::vector<int> dims, int length) {
  std::string out;
  wire::Writer w(&out);
  w.Bytes(1, table);
  w.Varint(2, static_cast<uint64_t>(pooling));
  for (int d : dims) w.Varint(3, static_cast<uint64_t>(d));
  w.Varint(4, static_cast<uint64_t>(length));
  return out;
}

std::string Entry(uint32_t number, const std::string& name, const std::string& value) {
  std::string entry, out;
  wire::Writer e(&entry), w(&out);
  e.Bytes(1, name);
  e.Bytes(2, value);
  w.Bytes(number, entry);
  return out;
}

std::string LayoutBytes(const std::string& feature, int start, int end, int type, std::vector<int64_t> dims) {
  std::string slice, shape, out;
  wire::Writer s(&slice), d(&shape), w(&out);
  s.Bytes(1, feature);
  s.Varint(2, static_cast<uint64_t>(start));
  s.Varint(3, static_cast<uint64_t>(end));
  for (int64_t dim : dims) d.Varint(1, static_cast<uint64_t>(dim));
  w.Bytes(1, slice);
  w.Varint(2, static_cast<uint64_t>(type));
  w.Bytes(3, shape);
  return out;
}

std::string Configs() {
  return Entry(1, "b", FeatureBytes("t1", 1, {2}, 0)) + Entry(1, "a", FeatureBytes("t1", 0, {1, 2}, 0)) +
         Entry(1, "c", FeatureBytes("t2", 3, {2}, 2)) + Entry(2, "bias", LayoutBytes("a", 0, 1, 2, {-1, 1})) +
         Entry(2, "mean", LayoutBytes("b", 0, 2, 0, {-1, 2})) + Entry(2, "seq", LayoutBytes("c", 0, 2, 3, {-1, 2, 2}));
}

struct Batch {
  std::vector<int64_t> a{2, 3, 2}, as{0, 2, 3}, b{4, 4, 7}, bs{0, 3, 3}, c{1, 2, 3, 5}, cs{0, 3, 4};
  std::vector<FidRows> rows() const {
    return {{a.data(), 3, as.data(), 3}, {b.data(), 3, bs.data(), 3}, {c.data(), 4, cs.data(), 3}};
  }
};

struct Sharded {
  LayoutPlan plan = DecodeLayoutPlan(Configs());
  std::vector<uint64_t> fid_offset;
  FidShards shards;
  explicit Sharded(bool unique = true) {
    FidSharder sharder;
    const Batch batch;
    sharder.Plan(plan, 2, unique, batch.rows());
    fid_offset.resize(static_cast<size_t>(sharder.num_fids()));
    FidPlaces places;
    for (size_t f = 0; f < 3; ++f) sharder.Place(f, &places, fid_offset.data());
    sharder.Join(fid_offset.data(), &shards);
  }
  Offsets offsets() const {
    return {fid_offset.data(), static_cast<int64_t>(fid_offset.size()), shards.feature_offset.data(),
            static_cast<int64_t>(shards.feature_offset.size()), shards.nfl_offset.data(), 2};
  }
};

template <class Work>
std::string ErrorOf(Work work) {
  try {
    work();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST(fids_are_parted_by_table_and_server) {
  const Sharded s;
  CHECK(s.shards.fids == (std::vector<std::vector<int64_t>>{{2, 4}, {3, 7}, {2}, {1, 3, 5}}));
  CHECK(s.shards.floats == (std::vector<int32_t>{5, 5, 2, 6}));
  CHECK(s.fid_offset == (std::vector<uint64_t>{0, 4294967296, 0, 3, 3, 4294967299, 12884901888, 8589934592, 12884901890, 12884901892}));
  CHECK(s.shards.feature_offset == (std::vector<int32_t>{0, 2, 3, 6, 6, 9, 10}));
  CHECK(s.shards.nfl_offset == (std::vector<uint32_t>{0, 2, 4, 7}));
  CHECK(Sharded(false).shards.fids == (std::vector<std::vector<int64_t>>{{2, 2, 4, 4}, {3, 7}, {2}, {1, 3, 5}}));
}

TEST(rows_become_layouts_and_gradients_go_back) {
  const Sharded s;
  const std::vector<std::vector<float>> floats = {{1, 10, 20, 0.5f, 1.5f}, {2, 30, 40, 3.5f, 4.5f}, {100, 200}, {1, 2, 3, 4, 5, 6}};
  std::vector<FloatList> lists;
  for (const auto& f : floats) lists.push_back({f.data(), static_cast<int64_t>(f.size())});
  std::vector<float> bias(2), mean(4), seq(8);
  float* outputs[] = {bias.data(), mean.data(), seq.data()};
  const LayoutFiller filler(s.plan);
  for (int64_t row = 0; row < 2; ++row) filler.Fill(s.offsets(), lists, row, row + 1, outputs);
  CHECK(bias == (std::vector<float>{3, 1}));
  CHECK(mean == (std::vector<float>{1.5f, 2.5f, 0, 0}));
  CHECK(seq == (std::vector<float>{1, 2, 100, 200, 5, 6, 0, 0}));

  std::vector<std::vector<float>> grads;
  std::vector<GradientList> to;
  for (const auto& f : floats) grads.emplace_back(f.size(), 0.0f);
  for (auto& g : grads) to.push_back({g.data(), static_cast<int64_t>(g.size())});
  const std::vector<float> ones(8, 1.0f);
  const float* from[] = {ones.data(), ones.data(), ones.data()};
  for (size_t f = 0; f < 3; ++f) AddGradients(s.plan, f, s.offsets(), from, to);
  CHECK(grads[0][0] == 2 && grads[0][1] == 0 && grads[1][0] == 1);
  CHECK(grads[2] == (std::vector<float>{1, 1}));
  CHECK(grads[3] == (std::vector<float>{1, 1, 0, 0, 1, 1}));
}

TEST(what_points_to_nothing_is_an_error) {
  Sharded s;
  const std::vector<float> floats(8);
  const std::vector<FloatList> lists(4, FloatList{floats.data(), 8});
  std::vector<float> bias(2), mean(4), seq(8);
  float* outputs[] = {bias.data(), mean.data(), seq.data()};
  const LayoutFiller filler(s.plan);
  const auto fill = [&] { filler.Fill(s.offsets(), lists, 0, 2, outputs); };
  CHECK(ErrorOf(fill) == "");
  s.fid_offset[2] = 8;
  CHECK(ErrorOf(fill).find("layout 'bias', feature 'a', row 1: the embedding of a fid lies at floats 8 to 9 of list 0, which has 8") == 0);
  s.fid_offset[2] = uint64_t{0xffffffff} << 32 | 0xffffffff;
  CHECK(ErrorOf(fill).find("list 4294967295") != std::string::npos);
  s.shards.feature_offset[1] = -5;
  CHECK(ErrorOf(fill).find("row 0: its fids 0 to -5 are not there") != std::string::npos);
}

TEST(mangled_offsets_end_in_a_result_or_an_error) {
  uint64_t random = 1;
  const auto next = [&](uint64_t most) { return ((random = random * 6364136223846793005u + 1442695040888963407u) >> 33) % most; };
  const std::vector<std::vector<float>> floats = {{1, 10, 20, 0.5f, 1.5f}, {2, 30, 40, 3.5f, 4.5f}, {100, 200}, {1, 2, 3, 4, 5, 6}};
  const std::vector<float> ones(8, 1.0f);
  const float* from[] = {ones.data(), ones.data(), ones.data()};
  int errors = 0, results = 0;
  for (int round = 0; round < 3000; ++round) {
    Sharded s;
    const int64_t stride = round % 3 + 1;
    const uint64_t near = next(8), far = random;
    switch (round % 4) {
      case 0: s.fid_offset[next(10)] = near << 32 | next(8); break;
      case 1: s.fid_offset[next(10)] = far; break;
      case 2: s.shards.feature_offset[next(7)] = static_cast<int32_t>(round % 8 < 4 ? near : far); break;
      default: s.shards.nfl_offset[next(4)] = static_cast<uint32_t>(round % 8 < 4 ? near : far);
    }
    std::vector<std::vector<float>> grads = floats;
    std::vector<FloatList> lists;
    std::vector<GradientList> to;
    for (size_t i = 0; i < floats.size(); ++i) {
      lists.push_back({floats[i].data(), static_cast<int64_t>(floats[i].size()), stride});
      to.push_back({grads[i].data(), static_cast<int64_t>(grads[i].size()), stride});
    }
    std::vector<float> bias(2), mean(4), seq(8);
    float* outputs[] = {bias.data(), mean.data(), seq.data()};
    const std::string filled = ErrorOf([&] { LayoutFiller(s.plan).Fill(s.offsets(), lists, 0, 2, outputs); });
    const std::string added = ErrorOf([&] {
      for (size_t f = 0; f < 3; ++f) AddGradients(s.plan, f, s.offsets(), from, to, round % 2 == 0);
    });
    CHECK_EQ(filled == "", added == "");
    CHECK(filled == "" || filled.find("layout '") == 0);
    ++(filled == "" ? results : errors);
  }
  CHECK(results > 100 && errors > 100);
}

TEST(broken_messages_are_errors_at_every_length) {
  const std::string whole = Configs();
  for (size_t n = 0; n < whole.size(); ++n) ErrorOf([&] { DecodeLayoutPlan(std::string_view(whole).substr(0, n)); });
  for (size_t i = 0; i < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = whole;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      ErrorOf([&] { DecodeLayoutPlan(flipped); });
    }
  }
}
