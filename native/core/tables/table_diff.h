// What differs between two checkpoints. Larger than memory: rows meet by key, part by part.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/tables/entry_stream.h"
#include "core/tables/key_partition.h"

namespace monolith {

struct DiffOptions {
  std::vector<std::string> a, b;  // base names
  std::string table;              // only this one; "": all
  double tolerance = 0;           // values that are no further apart are equal
  bool ignore_state = false, ignore_time = false;
  size_t limit = 0;               // differences that are kept
  std::string spool_directory;
  size_t memory = size_t{256} << 20;
};

struct RowDifference {
  enum class What { kOnlyA, kOnlyB, kShape, kChanged };
  size_t table = 0;  // number in TableDiff::tables()
  int64_t key = 0;
  What what = What::kChanged;
  bool weights = false, state = false, time = false;
  double max_abs = 0, l2 = 0;          // of the weights
  int64_t time_a = 0, time_b = 0;
};

struct TableDifference {
  static constexpr int kBins = 128, kZero = 64;  // [i]: 2^(i - kZero) <= distance < twice that; the first and the last are open

  std::string table;
  bool in_a = false, in_b = false;
  uint64_t rows_a = 0, rows_b = 0, only_a = 0, only_b = 0, equal = 0, shapes = 0, weights = 0, state = 0, times = 0, changed = 0;
  double max_abs = 0, l2_sum = 0;  // over rows whose weights changed
  std::array<uint64_t, kBins> distances{};  // L2, of rows whose weights changed by a finite distance
  uint64_t infinite = 0;                    // those that changed to or from what is not finite

  // A table without rows is as good as none: a training that reads the files finds the same.
  bool same() const { return !only_a && !only_b && !shapes && !changed; }
};

class TableDiff {
 public:
  // Throws Error when an input is not whole.
  explicit TableDiff(DiffOptions options);

  // At most `rows` rows read, or one batch compared; false at the end.
  bool Step(size_t rows);

  const std::vector<TableDifference>& tables() const { return tables_; }
  const std::vector<RowDifference>& differences() const { return differences_; }

 private:
  bool ReadRow();
  size_t Number(const std::string& table);
  void CheckShape(size_t table);
  void CompareBatch();
  void Compare(const KeyPartition::Row* a, const KeyPartition::Row* b);
  void CompareWeights(RowDifference* d) const;
  bool StateDiffers() const;
  bool Near(double a, double b) const;
  void Count(const RowDifference& d);

  DiffOptions options_;
  std::vector<std::string> inputs_;  // a, then b
  std::unique_ptr<EntryStream> in_;
  size_t input_ = 0;
  bool reading_ = true;
  std::vector<TableDifference> tables_;
  std::vector<size_t> numbers_;
  std::vector<ShapeCheck> shapes_;  // of each table in `a`, then in `b`
  KeyPartition partition_;
  std::vector<KeyPartition::Row> batch_;
  DumpedEntry entry_, other_;
  std::vector<RowDifference> differences_;
};

}  // namespace monolith
