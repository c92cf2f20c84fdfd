// The vectors V4 of the spec.
#include "core/tables/optimizer.h"

#include <cmath>
#include <cstring>

#include "check.h"

using namespace monolith;
using Kind = OptimizerConfig::Kind;

namespace {

SegmentConfig Segment(int dim, OptimizerConfig o) {
  SegmentConfig s;
  s.dim = dim;
  s.optimizer = o;
  s.initializer.kind = InitializerConfig::Kind::kConstant;
  return s;
}

// A row that is stepped and compared.
class Row {
 public:
  explicit Row(std::vector<SegmentConfig> segments) : plan_((config_.segments = std::move(segments), config_)), row_(plan_.row_floats()) {
    plan_.InitWeights(0, row_.data());
    plan_.InitState(row_.data());
  }
  void Step(std::vector<float> grad, std::vector<float> rates, int64_t global_step = 0) {
    plan_.Step(0, row_.data(), grad.data(), plan_.StartSteps(rates.data(), 0, global_step, nullptr));
  }
  // Compares floats from `first` on.
  void Expect(size_t first, std::vector<double> want, int line) const {
    for (size_t i = 0; i < want.size(); ++i) {
      const double got = row_[first + i], error = std::fabs(got - want[i]);
      if (error <= 1e-6 || error <= 1.5e-6 * std::fabs(want[i])) continue;
      std::fprintf(stderr, "line %d: float %zu is %.9g, not %.9g\n", line, first + i, got, want[i]);
      ++check::Failures();
    }
  }
  float& operator[](size_t i) { return row_[i]; }
  size_t size() const { return row_.size(); }

 private:
  TableConfig config_;
  RowPlan plan_;
  std::vector<float> row_;
};
#define EXPECT(row, first, ...) (row).Expect(first, __VA_ARGS__, __LINE__)

OptimizerConfig Make(Kind kind, float initial = 0.1f) {
  OptimizerConfig o;
  o.kind = kind;
  o.initial_accumulator_value = initial;
  return o;
}

}  // namespace

TEST(V4_1_Sgd) {
  Row r({Segment(1, Make(Kind::kSgd))});
  r.Step({1}, {.1f});
  EXPECT(r, 0, {-.1});
}

TEST(V4_2_3_Adagrad) {
  Row r({Segment(2, Make(Kind::kAdagrad, 1))});
  r.Step({1, 2}, {.1f});
  EXPECT(r, 0, {-.07071067, -.08944272});
  OptimizerConfig o = Make(Kind::kAdagrad, 1);
  o.weight_decay_factor = .1f;
  Row d({Segment(2, o)});
  d.Step({1, 2}, {.1f});
  EXPECT(d, 0, {-.07071067, -.08944272, 2, 5});
  d.Step({1, 2}, {.1f});
  EXPECT(d, 0, {-.128173, -.155943, 2.985908, 8.964303});
  d.Step({1, 2}, {.1f});
  EXPECT(d, 0, {-.1777776, -.2111890, 3.960438, 12.902168});
}

TEST(V4_4_Adagrad) {
  Row r({Segment(1, Make(Kind::kAdagrad))});
  for (double w : {-.95346254, -1.643528, -2.2114902}) {
    r.Step({1}, {1});
    EXPECT(r, 0, {w});
  }
}

TEST(V4_5_AdagradDecayInEveryDim) {
  OptimizerConfig o = Make(Kind::kAdagrad);
  o.weight_decay_factor = .1f;
  Row r({Segment(8, o)});
  std::vector<float> g;
  for (int i = 0; i < 8; ++i) r[i] = 1, g.push_back(static_cast<float>(i + 1) / 10);
  r.Step(g, {.1f});
  EXPECT(r, 0, {.9465477, .9311753, .9215536, .9154845, .9115348, .9088678, .9070019, .9056544,
                .14, .19, .26, .35, .46, .59, .74, .91});
  r.Step(g, {.1f});
  EXPECT(r, 0, {.9003959, .8753730, .8605900, .8515781, .8458293, .8419936, .8393294, .8374134});
}

TEST(V4_8_9_Adam) {
  Row r({Segment(2, Make(Kind::kAdam))});
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.00990099, -.00909091, 1, .1});
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.01983060, -.01842895});
  OptimizerConfig o = Make(Kind::kAdam);
  o.weight_decay_factor = .01f;
  Row d({Segment(2, o)});
  CHECK_EQ(d.size(), 2u + 6u);
  d[0] = 1, d[1] = -.5f;
  d.Step({.5f, -1}, {.1f});
  EXPECT(d, 0, {.9163935, -.4090498, .0510, -.1005, .002600997, .01010024, .81, .9801});
  d.Step({-.25f, 2}, {.1f});
  EXPECT(d, 0, {.8919142, -.4437921});
  d.Step({.1f, .1f}, {.1f});
  EXPECT(d, 0, {.8629132, -.4732953});
  EXPECT(d, 6, {.6561, .960596});
}

TEST(V4_7_Adadelta) {
  Row r({Segment(2, Make(Kind::kAdadelta))});
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.0031607, -.0030151, 10, .1});
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.0064035, -.0061047});
}

TEST(V4_10_Amsgrad) {
  Row r({Segment(2, Make(Kind::kAmsgrad))});
  CHECK_EQ(r.size(), 2u + 8u);
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.00990099, -.00909091, 1, .1});
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.01983060, -.01842895});
  EXPECT(r, 8, {.729, .970299});
  // The divisor keeps its maximum when the gradients vanish; Adam's does not.
  const float largest = r[6];
  for (int i = 0; i < 50; ++i) r.Step({0, 0}, {.01f});
  CHECK(r[6] == largest && r[4] < largest);
}

TEST(V4_11_12_Ftrl) {
  Row r({Segment(2, Make(Kind::kFtrl))});
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.009995, -.00953463});
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.0170643, -.0164353});
  OptimizerConfig o = Make(Kind::kFtrl);
  o.beta = 1, o.l1 = .5f, o.l2 = .2f;
  Row d({Segment(2, o)});  // weights, norm, zero
  d.Step({1, .2f}, {.1f});
  EXPECT(d, 0, {-.02416850, 0, 1.1, .14, 1, .2});
  d.Step({-3, .2f}, {.1f});
  EXPECT(d, 0, {.02347267, 0, 10.1, .18, -1.485394, .4});
  d.Step({.5f, .2f}, {.1f});
  EXPECT(d, 0, {.01167226, -.006715731, 10.35, .22, -.9945704, .6});
}

TEST(FtrlAtRateZeroChangesNothing) {
  Row r({Segment(2, Make(Kind::kFtrl))});
  r.Step({1, 0}, {0});
  EXPECT(r, 0, {0, 0, .1, .1, 0, 0});
}

TEST(V4_14_15_16_GroupAdagrad) {
  OptimizerConfig o = Make(Kind::kGroupAdagrad, 0);
  o.l2 = 1, o.beta = 1;
  Row one({Segment(1, o)});
  one.Step({10}, {.01f});
  EXPECT(one, 0, {-.008182, 100});
  one.Step({10}, {.01f});
  EXPECT(one, 0, {-.014125, 200});
  o.l2 = .5f;
  Row two({Segment(2, o)});
  two.Step({10, 1}, {.01f});
  EXPECT(two, 0, {-.008639, -.000864, 100});
  two.Step({1, 5}, {.01f});
  EXPECT(two, 0, {-.009096, -.004778, 125});
  o.l2 = 0;
  Row free({Segment(2, o)});
  free.Step({10, 1}, {.01f});
  EXPECT(free, 0, {-.009091, -.000909});
  o.l2 = 1000;
  Row shrunk({Segment(2, o)});
  shrunk.Step({10, 1}, {.01f});
  EXPECT(shrunk, 0, {0, 0});
  Row wide({Segment(16, o)});
  CHECK_EQ(wide.size(), 17u);
}

TEST(GroupAdagradWithNothingToDoStaysFinite) {
  Row zeros({Segment(2, Make(Kind::kGroupAdagrad))});
  zeros.Step({0, 0}, {.01f});
  EXPECT(zeros, 0, {0, 0, .1});
  Row first({Segment(2, Make(Kind::kGroupAdagrad, 0))});
  first[0] = 3;
  first.Step({0, 0}, {.01f});
  EXPECT(first, 0, {3, 0, 0});
  first.Step({1, 0}, {0});
  EXPECT(first, 0, {3, 0, 0});
}

TEST(V4_17_Momentum) {
  Row r({Segment(2, Make(Kind::kMomentum))});
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.1, -.01, -.1, -.01});
  r.Step({10, 1}, {.01f});
  EXPECT(r, 0, {-.29, -.029});
}

TEST(V4_18_MovingAverage) {
  Row r({Segment(2, Make(Kind::kMovingAverage))});
  CHECK_EQ(r.size(), 2u);
  r.Step({10, 1}, {0});
  EXPECT(r, 0, {1, .1});
  r.Step({10, 1}, {7});
  EXPECT(r, 0, {1.9, .19});
}

TEST(V4_19_20_Rmsprop) {
  Row one({Segment(1, Make(Kind::kRmsprop))});
  one.Step({10}, {.01f});
  EXPECT(one, 0, {-.024025, 10});
  one.Step({10}, {.01f});
  EXPECT(one, 0, {-.042686});
  Row two({Segment(2, Make(Kind::kRmspropV2))});
  two.Step({10, 1}, {.01f});
  EXPECT(two, 0, {-.0090909, -.005, 100, 1});
  two.Step({10, 1}, {.01f});
  EXPECT(two, 0, {-.0158549, -.0092045});
}

TEST(V4_21_22_BatchSoftmax) {
  Row r({Segment(1, Make(Kind::kBatchSoftmax))});
  CHECK_EQ(r.size(), 3u);
  r.Step({0}, {.1f}, 1);
  EXPECT(r, 0, {.1});
  int64_t last;
  std::memcpy(&last, &r[1], sizeof last);
  CHECK_EQ(last, 1);
  Row often({Segment(1, Make(Kind::kBatchSoftmax))}), seldom({Segment(1, Make(Kind::kBatchSoftmax))});
  for (int step = 0; step < 1000; step += 5) {
    often.Step({0}, {.1f}, step);
    if (step % 10 == 0) seldom.Step({0}, {.1f}, step);
  }
  EXPECT(often, 0, {4.999997});
  EXPECT(seldom, 0, {9.999702});
}

TEST(V4_23_24_Segments) {
  Row r({Segment(1, Make(Kind::kAdagrad, 1)), Segment(2, Make(Kind::kAdagrad, 2))});
  r.Step({1, 2, 3}, {1, 2});
  EXPECT(r, 0, {-.70710677, -1.6329931, -1.8090681});
  r[0] = r[1] = r[2] = 0;
  r.Step({1, 2, 3}, {1, 2});
  EXPECT(r, 0, {-.57735026, -1.264911, -1.3416407});
  Row s({Segment(1, Make(Kind::kSgd)), Segment(2, Make(Kind::kSgd))});
  s.Step({1, 2, 3}, {1, 2});
  EXPECT(s, 0, {-1, -4, -6});
  CHECK_EQ(s.size(), 3u);
}
