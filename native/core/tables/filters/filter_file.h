// The files of a sliding filter, one for each split: plain TFRecords, first the metadata, then the cells (spec 30, 13.3, 14.3).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tables/filters/counting_filter.h"

namespace monolith {

constexpr size_t kCellsPerRecord = 10000;

// SlidingHashFilterMetaDump: what all splits share.
struct SlidingMeta {
  uint64_t split_num = 0, max_forward_step = 0, max_backward_step = 0, max_step = 0, head = 0, head_increment = 0, failure_count = 0;
};

// HashFilterSplitMetaDump.
struct SplitMeta {
  uint64_t failure_count = 0, total_size = 0, num_elements = 0;
  double fill_rate = 0;
  SlidingMeta sliding;
};

void EncodeSplitMeta(const SplitMeta& meta, std::string* out);
// Throws BadRecord.
SplitMeta DecodeSplitMeta(std::string_view message);

// HashFilterSplitDataDump of cells [first, first + n).
void EncodeCells(const uint16_t* cells, size_t first, size_t n, std::string* out);
// Sets cells from what EncodeCells wrote; returns how many. Throws BadRecord unless they begin at `first` and fit.
size_t DecodeCells(std::string_view message, size_t first, CountingCells* cells);

// Writes one split to a new file and syncs it.
void WriteSplit(const CountingSplit& split, const SlidingMeta& sliding, const std::string& path);
// Reads one into a split of the capacity given. Throws Error(kBadData) naming file and offset, Error(kConfig) naming the field of
// `live` that differs.
std::unique_ptr<CountingSplit> ReadSplit(const std::string& path, uint64_t capacity, const SlidingMeta& live, SlidingMeta* sliding);

}  // namespace monolith
