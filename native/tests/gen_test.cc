#include "core/records/gen.h"

#include <cmath>

#include "check.h"
#include "core/records/convert.h"
#include "core/records/stat.h"
#include "core/records/zipf.h"

using namespace monolith;  // NOLINT

namespace {

std::vector<std::string> Make(const GenOptions& options) {
  auto reader = MakeGenerator(options);
  std::vector<std::string> records;
  Record record;
  while (reader->Next(&record)) records.emplace_back(record.payload);
  return records;
}

StatResult Stat(RecordType type, const std::vector<std::string>& records) {
  StatOperator op(type);
  for (const std::string& r : records) {
    Record record;
    record.payload = r;
    op.Process(record, nullptr);
  }
  return op.result();
}

}  // namespace

TEST(the_same_seed_makes_the_same_records) {
  GenOptions options;
  options.slots = {1, 2, 3};
  options.records = 50;
  const auto first = Make(options);
  CHECK_EQ(first.size(), 50u);
  CHECK(first == Make(options));
  options.seed = 2;
  CHECK(first != Make(options));
}

TEST(what_was_asked_for_is_there) {
  GenOptions options;
  options.slots = {1, 7, 200, 1023};
  options.v2_features = {{"hist", 32767}};
  options.min_fids = 0;
  options.max_fids = 3;
  options.dense = {{"price", 4}};
  options.labels = 2;
  options.line_id = {"uid", "req_time", "actions", "user_id", "is_draw", "sample_rate"};
  for (const RecordType type : {RecordType::kInstance, RecordType::kExample}) {
    options.type = type;
    const StatResult r = Stat(type, Make(options));
    CHECK_EQ(r.rows, 1000u);
    CHECK_EQ(r.slots.size(), 5u);
    CHECK_EQ((r.slots.at({1, 1}).fids), 1000u);
    CHECK_EQ((r.slots.at({1, 200}).fids), 1000u);
    CHECK((r.slots.at({1, 1023}).fids) > 1300 && (r.slots.at({1, 1023}).fids) < 1700);
    CHECK((r.slots.at({2, 32767}).records) > 700 && (r.slots.at({2, 32767}).records) < 800);
    CHECK_EQ(r.labels.size(), 2u);
    CHECK_EQ(r.rows_with_line_id, 1000u);
    CHECK_EQ(r.line_id_fields.size(), 6u);
    CHECK_EQ(r.max_req_time - r.min_req_time, 999);
    uint64_t price = 0;
    for (const auto& [key, s] : r.features)
      if (key.first == "price") price += s.values;
    CHECK_EQ(price, 4000u);
  }
}

TEST(labels_follow_rate_or_ids) {
  GenOptions options;
  options.slots = {1, 2, 3, 4};
  options.records = 20000;
  options.positive_rate = 0.1;
  const double rate = Stat(options.type, Make(options)).labels[0].sum / 20000;
  CHECK(rate > 0.09 && rate < 0.11);
  // With a single id per slot every row has the same chance; over many ids the labels of equal rows agree often.
  options.learnable = true;
  options.vocab = 1;
  const double p = Stat(options.type, Make(options)).labels[0].sum / 20000;
  options.seed = 99;
  const double q = Stat(options.type, Make(options)).labels[0].sum / 20000;
  CHECK(std::fabs(p - 0.1) > 0.02 || std::fabs(q - 0.1) > 0.02);
}

TEST(zipf) {
  Random random(7);
  for (const double exponent : {0.5, 1.0, 1.5}) {
    const Zipf zipf(1000, exponent);
    std::vector<double> seen(1001);
    constexpr int kDraws = 200000;
    for (int i = 0; i < kDraws; ++i) {
      const uint64_t k = zipf.Draw(&random);
      CHECK(k >= 1 && k <= 1000);
      if (k >= 1 && k <= 1000) seen[k] += 1;
    }
    double all = 0;
    for (int k = 1; k <= 1000; ++k) all += std::pow(k, -exponent);
    for (const int k : {1, 2, 10}) {
      const double expected = kDraws * std::pow(k, -exponent) / all;
      CHECK(std::fabs(seen[static_cast<size_t>(k)] - expected) < 5 * std::sqrt(expected) + 1);
    }
  }
}

TEST(distinct_is_near) {
  for (const uint64_t n : {1, 10, 1000, 5000, 20000, 300000}) {
    DistinctCounter counter;
    for (uint64_t i = 0; i < n; ++i) counter.Add(i * 0x9e3779b97f4a7c15u);
    for (uint64_t i = 0; i < n; i += 3) counter.Add(i * 0x9e3779b97f4a7c15u);
    const double error = std::fabs(static_cast<double>(counter.Estimate()) - static_cast<double>(n)) / static_cast<double>(n);
    CHECK(error < 0.06);
  }
}

TEST(sizes) {
  SizeHistogram h;
  for (uint64_t i = 1; i <= 10000; ++i) h.Add(i);
  CHECK_EQ(h.min(), 1u);
  CHECK_EQ(h.max(), 10000u);
  CHECK(h.Quantile(0.5) >= 5000 && h.Quantile(0.5) < 5200);
  CHECK(h.Quantile(0.99) >= 9900 && h.Quantile(0.99) <= 10000);
  SizeHistogram one;
  one.Add(0);
  CHECK_EQ(one.Quantile(0.5), 0u);
  one.Add(uint64_t{1} << 40);
  CHECK_EQ(one.Quantile(1), uint64_t{1} << 40);
}

TEST(mistakes) {
  GenOptions options;
  options.slots = {1024};
  CHECK_THROWS(MakeGenerator(options), ErrorCode::kUsage);
  options.slots = {};
  options.v2_features = {{"x", 32768}};
  CHECK_THROWS(MakeGenerator(options), ErrorCode::kUsage);
  options.v2_features = {};
  options.line_id = {"nope"};
  CHECK_THROWS(MakeGenerator(options), ErrorCode::kUsage);
}
