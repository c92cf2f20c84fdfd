// Writes one set of checkpoint files (spec 30, section 13) from rows in any order, without a table in memory.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tables/record_file.h"
#include "core/tables/row_spool.h"
#include "core/tables/set_writer.h"

namespace monolith {

struct RowSetOptions {
  bool single = false;      // one table as plain records, without metadata
  int shards = 0;           // files; 0: by the number of rows, as a table saves itself
  bool ordered = false;     // rows of each shard come table by table: they are written at once. Needs `shards`.
  bool sort_tables = false; // else tables stand in the order they were named
  std::string spool_directory;
  size_t memory = size_t{64} << 20;  // for rows that wait
};

class RowSetWriter {
 public:
  // Nothing is visible under `basename` before Publish. Throws Error(kUsage, kCannotCreate).
  RowSetWriter(std::string basename, const std::vector<std::string>& tables, RowSetOptions options);

  // Number of a table, which is added when it is new (not when `ordered`).
  size_t Table(const std::string& name);

  // message: an EntryDump. Rows of one `shard` (any number) come into the same file.
  void Add(size_t table, uint64_t shard, std::string_view message);

  // Writes what is left to be written; after it only Publish may follow.
  void Finish();
  // The new files, synced and with a manifest, take the place of older ones of the set, all or nothing.
  void Publish();

  uint64_t rows() const { return rows_; }

 private:
  struct Shard {
    RecordFileWriter *data = nullptr, *meta = nullptr;
    size_t table = 0;      // the one being written
    uint64_t entries = 0;  // of it
  };

  void OpenShards(size_t n);
  void Advance(Shard* shard, size_t table);
  void Close(Shard* shard);
  void WriteSpooled();

  const std::string basename_;
  const RowSetOptions options_;
  std::vector<std::string> tables_;
  std::vector<size_t> order_;  // number in the file -> number of the table
  SetWriter files_;
  std::unique_ptr<RowSpool> spool_;
  std::vector<Shard> shards_;
  uint64_t rows_ = 0;
};

}  // namespace monolith
