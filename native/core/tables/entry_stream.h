// The rows of one checkpoint of tables, one after the other: no table is built, so it may be larger than memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/tables/checkpoint_set.h"
#include "core/tables/entry_dump.h"
#include "core/tables/key_set.h"

namespace monolith {

class EntryStream {
 public:
  // `basename` of a single table, of several when there are `.meta` files, or of a delta: that and the checkpoints it
  // continues are read as the one state they are, the newest first; the keys of deltas are kept in memory. Throws Error when
  // the set is not whole.
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
  std::string Where() const { return where_.empty() ? reader_->Where() : where_; }

  // False: the checkpoint is one table.
  bool multi() const { return links_.back().form() != CheckpointSet::Form::kSingle; }
  // Files of the checkpoint, of a chain those of its base.
  size_t shards() const { return links_.back().shards(); }
  // Whether it is a delta, so that rows of one shard do not come table by table.
  bool chained() const { return links_.size() > 1; }

 private:
  bool OpenShard();
  bool NextSection();
  bool NextRecord(std::string_view* message);
  void ReadErased();
  void EndLink();

  std::string basename_;
  std::vector<CheckpointSet> links_;  // the newest first
  size_t link_ = 0, shard_ = 0;       // the next to open
  std::unique_ptr<ShardReader> reader_;
  size_t sections_read_ = 0;
  bool in_section_ = false;
  std::vector<std::string> tables_;
  size_t table_ = 0;
  std::string_view message_;
  std::string where_;
  std::vector<KeySet> newer_;                // by table
  std::vector<std::vector<int64_t>> keys_;  // of the open link, by table
};

}  // namespace monolith
