// One pass over checkpoint files that counts what is in each table, or looks for damage.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "core/tables/entry_stream.h"
#include "core/tables/row_spool.h"

namespace monolith {

struct TableSummary {
  static constexpr int kAges = 7, kNorms = 96, kNormZero = 48;
  // Upper bounds of the ages in seconds; the last is open.
  static constexpr std::array<int64_t, kAges - 1> kAgeBounds = {3600, 86400, 7 * 86400, 30 * 86400, 90 * 86400, 365 * 86400};

  std::string name;
  uint64_t keys = 0, bytes = 0;
  ShapeCheck shape;
  std::map<uint32_t, uint64_t> slots;  // slot -> keys
  uint64_t never_updated = 0;          // no time is kept of them
  int64_t oldest = 0, newest = 0;      // of those with a time
  std::array<uint64_t, kAges> ages{};
  uint64_t zero_norms = 0, non_finite = 0;
  // [i]: 2^(i - kNormZero) <= norm < twice that; the first and the last are open.
  std::array<uint64_t, kNorms> norms{};
  double norm_sum = 0, norm_max = 0;
  uint64_t duplicates = 0;
};

class TableScan {
 public:
  // now: unix seconds that ages are counted from. verify: damage becomes a finding and the scan goes on behind it; without it
  // damage is thrown.
  TableScan(const std::string& basename, int64_t now, bool verify) : stream_(basename), now_(now), verify_(verify) {}

  // At most `rows` rows; false at the end.
  bool Step(size_t rows);

  // One for each table, those without rows included.
  std::vector<TableSummary>& Summaries();
  const std::vector<std::string>& findings() const { return findings_; }
  uint64_t damages() const { return damages_; }

 private:
  static constexpr size_t kMaxFindings = 100;
  static constexpr size_t kKeyLanes = 256, kKeyMemory = size_t{64} << 20;

  bool Row();
  void Count(TableSummary* table);
  void CheckShape(TableSummary* table) const;
  void Remember(size_t table);
  void CountDuplicates();
  void Find(const std::string& what);
  TableSummary& At(size_t table);

  EntryStream stream_;
  int64_t now_;
  bool verify_;
  DumpedEntry entry_;
  std::vector<TableSummary> tables_;
  RowSpool keys_{"", kKeyMemory};  // of each table, by their hash
  std::vector<std::string> findings_;
  uint64_t damages_ = 0;
};

}  // namespace monolith
