// What a compressor is made of: its names and numbers in configs, its bytes in the rows of a serving table, and what it does
// to lookups and gradients of a training table (spec 30, 5).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tables/optimizer.h"
#include "core/tables/table_config.h"

namespace monolith {

struct CompressorType {
  static constexpr size_t kMaxFields = 4;
  const char* name;        // in FloatCompressorConfig
  const char* title;       // in summaries
  const char* retriever;   // in summaries: what lookups of a training table do
  uint32_t config_number;  // in FloatCompressorConfig
  struct ConfigField {
    uint32_t number;  // 0: there is no such field
    float CompressorConfig::*value;
  } config[kMaxFields];
  uint32_t step_size_number;  // of step_size; 0: has none
  size_t bytes;               // of one weight in a serving row
  // Element by element, so that a part of a segment may be done alone. Bytes need not be aligned.
  void (*encode)(const CompressorConfig& config, const float* weights, size_t n, char* out);
  void (*decode)(const CompressorConfig& config, const char* bytes, size_t n, float* out);
  // What a training lookup gives for stored weights, in place. nullptr: the weights themselves.
  void (*forward)(const SegmentPlan& plan, float* weights);
  // The gradient of the weights from that of what the lookup gave: out[dim]. nullptr: the same.
  void (*backward)(const SegmentPlan& plan, const float* weights, const float* grad, float* out);
};

extern const CompressorType kFp32Type, kFp16Type, kFixedR8Type, kOneBitType;

const CompressorType& TypeOf(CompressorConfig::Kind kind);
// The kind of a field of FloatCompressorConfig; false when there is no such compressor.
bool KindOfConfig(uint32_t config_number, CompressorConfig::Kind* kind);

}  // namespace monolith
