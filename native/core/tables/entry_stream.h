// The rows of one set of checkpoint files, one after the other: no table is built, so it may be larger than memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/tables/entry_dump.h"
#include "core/tables/record_file.h"

namespace monolith {

class EntryStream {
 public:
  // `basename` of a single table or, when there are `.meta` files, of several. Throws Error when the set is not whole.
  explicit EntryStream(std::string basename);

  // Tables of the set in its order; of a single table its file name. Throws Error(kBadData).
  const std::vector<std::string>& Tables();

  // The next row; false at the end. Throws Error(kBadData) naming file and offset; the next call then goes on with the next
  // row or, when the frames are broken, with the next file. A row of a table that is not `only` is passed over ("": all).
  bool Next(DumpedEntry* entry, const std::string& only = "");

  // Of the last row: which of Tables(), how long its message is, and where: "<path>: at byte N".
  size_t table() const { return table_; }
  size_t message_bytes() const { return message_.size(); }
  // Its message as it stands in the file, until the next call, and in which of shards() that is.
  std::string_view message() const { return message_; }
  size_t shard() const { return shard_ - 1; }
  std::string Where() const;

  // False: the set is one table.
  bool multi() const { return !meta_.empty(); }
  size_t shards() const { return data_.size(); }

 private:
  struct TableEntries {
    std::string name;
    uint64_t entries = 0;
  };

  void CheckPublished() const;
  bool OpenShard();
  std::vector<TableEntries> ReadMeta(const std::string& path) const;
  bool NextRecord(std::string_view* message);
  void EndShard();

  std::string basename_;
  std::vector<std::string> data_, meta_;
  size_t shard_ = 0;  // the next to open
  std::unique_ptr<RecordFileReader> reader_;
  std::vector<TableEntries> entries_;  // of the open shard
  bool known_ = false;
  std::vector<std::string> tables_;
  size_t table_ = 0;
  uint64_t read_ = 0;  // rows of `table_` in this shard
  std::string_view message_;
};

}  // namespace monolith
