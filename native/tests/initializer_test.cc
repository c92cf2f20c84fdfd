#include <cmath>
#include <set>

#include "check.h"
#include "core/tables/optimizer.h"

using namespace monolith;

TEST(V5_2_ConstantsPerSegment) {
  TableConfig c;
  for (int dim : {1, 2}) {
    SegmentConfig s;
    s.dim = dim;
    s.optimizer.kind = OptimizerConfig::Kind::kSgd;
    s.initializer.kind = InitializerConfig::Kind::kConstant;
    s.initializer.constant = dim == 1 ? 3 : 4;
    c.segments.push_back(s);
  }
  std::vector<float> row(3);
  RowPlan(c).InitWeights(9, row.data());
  CHECK(row == std::vector<float>({3, 4, 4}));
}

TEST(V5_1_UniformInRangeAndEven) {
  constexpr int kKeys = 20000, kDim = 5;
  double sum = 0, squares = 0;
  std::set<float> seen;
  for (int k = 0; k < kKeys; ++k) {
    float v[kDim];
    FillUniform(0, k, 0, kDim, -.05f, .05f, v);
    for (float x : v) {
      CHECK(x >= -.05f && x < .05f);
      sum += x, squares += double(x) * x;
      seen.insert(x);
    }
  }
  constexpr double n = double(kKeys) * kDim;
  CHECK(std::fabs(sum / n) < 4 * .1 / std::sqrt(12 * n));
  CHECK(std::fabs(squares / n - .01 / 12) < 2e-5);
  CHECK(seen.size() > n * .98);
}

TEST(UniformDependsOnSeedKeyAndPlaceAlone) {
  float a[8], b[8], c[8];
  FillUniform(1, 42, 0, 8, 0, 1, a);
  FillUniform(1, 42, 0, 8, 0, 1, b);
  CHECK(std::equal(a, a + 8, b));
  FillUniform(1, 42, 3, 5, 0, 1, b);  // a segment that begins at place 3
  CHECK(std::equal(b, b + 5, a + 3));
  FillUniform(2, 42, 0, 8, 0, 1, b);
  FillUniform(1, 43, 0, 8, 0, 1, c);
  for (int i = 0; i < 8; ++i) CHECK(a[i] != b[i] && a[i] != c[i]);
  FillUniform(1, 42, 0, 8, .25f, .25f, a);
  for (float x : a) CHECK_EQ(x, .25f);
}
