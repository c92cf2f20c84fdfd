// How the cells of a delimited text become a record. The command reads this from TOML (monolith_cli/records/csv_schema.py).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/io/record.h"

namespace monolith {

enum class CsvTarget {
  kFid,     // an id under a slot
  kFloat,   // a named feature of floats
  kInt64,   // of integers
  kBytes,   // of texts
  kLabel,   // the next element of the label vector
  kWeight,  // instance_weight
  kLineId,  // a field of LineId
};

// What a cell's text is. kInteger and kHash make signatures of fids and integers; a signature keeps its low bits.
enum class CsvValue {
  kInteger,
  kHash,    // CityHash64 of the bytes
  kLog2,    // of a number v: trunc(log2(|v| + 1))
  kTime,    // ISO 8601; seconds since 1970 in UTC
  kFid,     // a whole fid, its slot included; of fids only
};

enum class CsvMissing { kSkip, kDefault, kError };

struct CsvColumn {
  std::string from;  // name in the header; "" where `index` counts
  size_t index = 0;  // from 0
  CsvTarget target = CsvTarget::kFloat;
  std::string name;  // of the feature or the LineId field
  int version = 2;   // of fids
  uint64_t slot = 0;
  uint64_t id = 0;   // of the feature in an Example; 0 for that of its kind: the slot of fids
  CsvValue value = CsvValue::kInteger;
  std::string separator;  // of several values in one cell; "" for one value
  CsvMissing missing = CsvMissing::kSkip;
  std::string default_text;  // stands for a missing cell under kDefault
  // Of labels: a number from `threshold` on is 1, one below is 0; `map` gives numbers for texts.
  std::optional<float> threshold;
  std::map<std::string, float, std::less<>> map;
};

struct CsvSchema {
  RecordType to = RecordType::kInstance;  // kInstance or kExample
  bool typed = false;                     // rows are those of typed_cells.h; what is said of text below does not count
  std::string separator = ",";            // one or more bytes
  bool header = true;
  bool quote = true;       // as RFC 4180 has it; only with a separator of one byte
  bool latin1 = false;     // else UTF-8
  bool skip_empty = true;  // leave out empty lines
  bool short_rows = false; // cells that a row has not count as missing; else it is a bad row
  std::vector<std::string> null_texts;  // cells that count as missing beside the empty ones
  std::vector<CsvColumn> columns;
  size_t max_row_bytes = size_t{64} << 20;
};

}  // namespace monolith
