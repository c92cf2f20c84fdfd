// One set of table files on disk, of whichever form, and the sections of its files.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tables/checkpoint_manifest.h"
#include "core/tables/record_file.h"

namespace monolith {

// Rows of one table in one file.
struct SectionInfo {
  std::string table;
  uint64_t rows = 0;
  uint64_t erased = 0;   // keys
  bool counted = true;   // false: the file of a single table does not say how many there are
};

// One data file, section by section.
class ShardReader {
 public:
  // `told_by` is the file that has the counts. The manifest, when there is one, is checked at the end of the file.
  ShardReader(const std::string& path, Container container, std::vector<SectionInfo> sections, std::string told_by,
              const Manifest* manifest);

  // The next section; what is left of the last is passed over. Null at the end, when all of the file has been checked.
  const SectionInfo* NextSection();
  // The next row of the section; false behind its last. Throws Error(kBadData) naming file and offset.
  bool NextRow(std::string_view* message);
  // Erased keys of the section, some at a time; after the rows.
  bool NextErased(std::vector<int64_t>* keys);
  std::string Where() const;

 private:
  bool Record(std::string_view* message, uint64_t left, uint64_t all, const char* what);
  void AtEnd();

  std::string path_;
  RecordFileReader reader_;
  bool stream_;
  std::vector<SectionInfo> sections_;
  std::string told_by_;
  const Manifest* manifest_;
  size_t section_ = 0;  // the next
  uint64_t rows_left_ = 0, erased_left_ = 0;
};

class CheckpointSet {
 public:
  enum class Form { kSingle, kMulti, kDelta };

  // Throws Error(kNoInput) when nothing is there, Error(kBadData) when the set is not whole. `sizes`: a size that is not that
  // of the manifest is found now, not when the file has been read.
  static CheckpointSet Open(const std::string& basename, std::optional<Manifest> manifest, bool sizes = true);

  const std::string& basename() const { return basename_; }
  Form form() const { return form_; }
  const std::optional<Manifest>& manifest() const { return manifest_; }
  size_t shards() const { return data_.size(); }
  const std::string& path(size_t shard) const { return data_[shard]; }

  // Of one file, in its order. Throws Error(kBadData).
  std::vector<SectionInfo> Sections(size_t shard) const;
  // Of all files: table -> rows. Those of a single table are estimated by the length of the first.
  std::map<std::string, uint64_t> RowCounts() const;
  // The reader is good as long as this object stays where it is.
  std::unique_ptr<ShardReader> OpenShard(size_t shard) const;
  // The file that says how many rows there are; for messages.
  std::string ToldBy(size_t shard) const;

 private:
  std::string basename_;
  Form form_ = Form::kSingle;
  std::vector<std::string> data_, meta_;
  std::optional<Manifest> manifest_;
};

}  // namespace monolith
