// Rows from outside into checkpoint files: each is checked, the rows of one table must be alike, and no key may come twice.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/tables/entry_write.h"
#include "core/tables/json_rows.h"
#include "core/tables/row_set_writer.h"

namespace monolith {

// The state that a row without state of its own gets: one for each segment.
struct StartState {
  const OptimizerKind* kind = nullptr;  // null: an optimizer without state in checkpoints
  int dim = -1;                         // -1: the weights that are left
  std::map<std::string, double> values; // of the state fields; those not named are 0
};

struct LoadOptions {
  std::string directory, name;    // files are <directory>/<name>-…; of single tables <name> is the table's, unless given
  bool single = false;            // each table in a set of its own
  int shards = 0;
  std::string spool_directory;
  size_t memory = size_t{256} << 20;
  std::string table;              // of rows that name none
  std::optional<int64_t> last_update;  // of rows that have none
  std::vector<StartState> start;  // for rows without state; none: such rows are an error
};

class TableLoad {
 public:
  explicit TableLoad(LoadOptions options);

  // The next bytes of a file of JSON lines; `EndLines` after its last. Throws Error(kBadData) naming file, line and byte.
  void Lines(const std::string& file, std::string_view bytes);
  void EndLines(const std::string& file);

  // One row from elsewhere; `file` and `number` (the line, the row) name it in errors.
  void Row(const std::string& file, uint64_t number, std::string_view table, RowFields has, DumpedEntry* entry);

  // Looks for keys that came twice, writes and syncs. After it only Publish may follow.
  void Finish();
  void Publish();

  std::map<std::string, uint64_t> rows() const;

  const LoadOptions& options() const { return options_; }

 private:
  struct Table {
    std::string name;
    ShapeCheck shape;
    uint64_t rows = 0;
    uint32_t id = 0;
    RowSetWriter* set = nullptr;
    size_t number = 0;  // in the set
  };

  void Line(const std::string& file, std::string_view line);
  Table& TableOf(std::string_view name);
  void Open(Table* table);
  void Start(DumpedEntry* entry) const;
  void Remember(const std::string& file, uint64_t number, const Table& table, int64_t key);
  void CheckTwice() const;

  LoadOptions options_;
  std::vector<std::unique_ptr<RowSetWriter>> sets_;
  std::map<std::string, Table, std::less<>> tables_;
  Table* last_ = nullptr;
  std::vector<std::string> files_;  // that keys came from
  RowSpool seen_;
  JsonRowParser parser_;
  DumpedEntry entry_;
  EntryWriter writer_;
  std::string table_, rest_, message_;
  uint64_t line_ = 0, offset_ = 0;  // of the line at hand
};

}  // namespace monolith
