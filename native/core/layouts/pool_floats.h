// Sums of a few short rows of floats, column by column, added in the order of the rows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace monolith::layouts {

// Eight floats at any address. What is done to one of them does not depend on the others.
typedef float Float8 __attribute__((vector_size(32), aligned(4), may_alias));

enum class PoolStart { kWrite, kAdd };  // what was there is replaced by the first row, or the first row is added to it

// kVectors times 8 columns of `count` rows, each divided by `by` first where kMean.
template <PoolStart kStart, bool kMean, int kVectors>
inline void PoolColumns(const float* const* rows, int64_t count, int first, float by, float* to) {
  Float8 sum[kVectors];
  const auto row = [&](int64_t j, int v) {
    const Float8 floats = *reinterpret_cast<const Float8*>(rows[j] + first + 8 * v);
    return kMean ? floats / by : floats;
  };
  for (int v = 0; v < kVectors; ++v) sum[v] = kStart == PoolStart::kAdd ? *reinterpret_cast<Float8*>(to + 8 * v) : row(0, v);
  for (int64_t j = kStart == PoolStart::kAdd ? 0 : 1; j < count; ++j)
    for (int v = 0; v < kVectors; ++v) sum[v] += row(j, v);
  for (int v = 0; v < kVectors; ++v) *reinterpret_cast<Float8*>(to + 8 * v) = sum[v];
}

// Columns [start, end) of `count` > 0 rows.
template <PoolStart kStart, bool kMean>
inline void PoolRows(const float* const* rows, int64_t count, int start, int end, float by, float* to) {
  int first = start;
  for (; end - first >= 32; first += 32, to += 32) PoolColumns<kStart, kMean, 4>(rows, count, first, by, to);
  for (; end - first >= 16; first += 16, to += 16) PoolColumns<kStart, kMean, 2>(rows, count, first, by, to);
  for (; end - first >= 8; first += 8, to += 8) PoolColumns<kStart, kMean, 1>(rows, count, first, by, to);
  for (; first < end; ++first, ++to) {
    const auto row = [&](int64_t j) { return kMean ? rows[j][first] / by : rows[j][first]; };
    float sum = kStart == PoolStart::kAdd ? *to : row(0);
    for (int64_t j = kStart == PoolStart::kAdd ? 0 : 1; j < count; ++j) sum += row(j);
    *to = sum;
  }
}

}  // namespace monolith::layouts
