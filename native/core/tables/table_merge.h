// The union of sets of checkpoint files. Larger than memory: rows meet by key, part by part.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/tables/entry_stream.h"
#include "core/tables/entry_write.h"
#include "core/tables/key_partition.h"
#include "core/tables/row_set_writer.h"

namespace monolith {

// Which row a key of several inputs gets. Sum and mean are of the weights; the rest is that of the newest row.
enum class OnDuplicate { kNewest, kFirst, kLast, kSum, kMean, kFail };

// Throws Error(kUsage).
OnDuplicate ParseOnDuplicate(const std::string& name);

struct MergeOptions {
  std::vector<std::string> inputs;   // base names, in the order that "first" and "last" mean
  std::vector<std::string> outputs;  // base names, one for each part: keys go by floor modulo
  int shards = 0;                    // of each output; 0: by the number of rows
  OnDuplicate on_duplicate = OnDuplicate::kNewest;
  std::string spool_directory;
  size_t memory = size_t{256} << 20;
};

class TableMerge {
 public:
  struct Counts {
    std::string table;
    uint64_t rows = 0, duplicates = 0;  // rows written; rows that met another one of their key
  };

  // Inputs are all single tables or all of several. Throws Error when one is not whole.
  explicit TableMerge(MergeOptions options);

  // At most `rows` rows read, or one batch written; false at the end.
  bool Step(size_t rows);
  void Finish();
  void Publish();

  const std::vector<Counts>& counts() const { return counts_; }

 private:
  bool ReadRow();
  void CheckShape(size_t table);
  void WriteBatch();
  void Resolve(const KeyPartition::Row* rows, size_t n);
  void Combine(const KeyPartition::Row* rows, size_t n, const KeyPartition::Row& newest);
  void Put(const KeyPartition::Row& row, std::string_view message);

  MergeOptions options_;
  std::unique_ptr<EntryStream> in_;
  size_t input_ = 0;
  bool single_ = false, reading_ = true;
  std::vector<std::string> tables_;  // sorted
  std::vector<size_t> numbers_;      // table of in_ -> number in tables_
  std::vector<ShapeCheck> shapes_;
  std::vector<Counts> counts_;
  std::vector<std::unique_ptr<RowSetWriter>> out_;
  KeyPartition partition_;
  std::vector<KeyPartition::Row> batch_;
  DumpedEntry entry_, other_;
  EntryWriter writer_;
  std::vector<double> sums_;
  std::string message_;
};

}  // namespace monolith
