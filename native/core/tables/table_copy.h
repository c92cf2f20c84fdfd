// One or more sets of checkpoint files into new ones, row by row, as the bytes stand: other shards, another number of parameter
// servers, some rows left out.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/tables/entry_stream.h"
#include "core/tables/row_rules.h"
#include "core/tables/row_set_writer.h"

namespace monolith {

// The parameter server that has a key: a modulo that is never negative.
inline size_t PartOf(int64_t key, size_t parts) {
  const int64_t n = static_cast<int64_t>(parts);
  return static_cast<size_t>((key % n + n) % n);
}

struct CopyOptions {
  std::vector<std::string> inputs;   // base names; of several, number i has the keys whose floor modulo is i
  std::vector<std::string> outputs;  // base names of as many parts; none: rows are counted only
  int shards = 0;                    // of each output; 0: as the input of the same number, or by the number of rows
  RowRules rules;
  std::string spool_directory;
  size_t memory = size_t{256} << 20;
};

class TableCopy {
 public:
  struct Counts {
    std::string table;
    uint64_t rows = 0, gone = 0;
    std::map<uint32_t, std::pair<uint64_t, uint64_t>> slots;  // slot -> rows, of them gone
  };

  // Throws Error when an input is not whole.
  explicit TableCopy(CopyOptions options);

  // At most `rows` rows; false at the end.
  bool Step(size_t rows);
  void Finish();  // writes and syncs
  void Publish();

  const std::vector<Counts>& counts() const { return counts_; }

 private:
  void OpenOutputs();
  size_t Number(const std::string& table);
  bool Newest();
  bool Row();
  bool NextInput();

  CopyOptions options_;
  std::unique_ptr<EntryStream> in_;
  size_t input_ = 0;  // number of in_
  bool pre_pass_ = false;
  std::vector<std::unique_ptr<RowSetWriter>> out_;
  std::vector<std::string> tables_;
  std::vector<size_t> numbers_;  // table of in_ -> number in tables_
  std::vector<int64_t> newest_;
  std::vector<Counts> counts_;
  DumpedEntry entry_;
  bool single_ = false, keep_shards_ = false;
};

}  // namespace monolith
