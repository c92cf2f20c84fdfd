#include "core/tables/entry_stream.h"

#include <sys/stat.h>

#include "core/base/error.h"
#include "core/tables/checkpoint_files.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

constexpr char kMultiPrefix[] = "MonolithMultiHashTable";

std::string FileName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

EntryStream::EntryStream(std::string basename) : basename_(std::move(basename)) {
  CheckPublished();
  const std::string meta = basename_ + ".meta";
  const bool multi = HasShards(meta), data = HasShards(basename_);
  if (multi && !data) throw Error(ErrorCode::kBadData, ShardName(basename_, 0, 1) + " or alike is missing: the checkpoint is not whole");
  data_ = FindShards(basename_);
  if (!multi && FileName(basename_).compare(0, sizeof kMultiPrefix - 1, kMultiPrefix) == 0)
    throw Error(ErrorCode::kBadData, ShardName(meta, 0, data_.size()) + " is missing: the checkpoint is not whole");
  if (multi) meta_ = FindShards(meta);
  if (multi && meta_.size() != data_.size())
    throw Error(ErrorCode::kBadData, basename_ + ": " + std::to_string(data_.size()) + " data files but " + std::to_string(meta_.size()) +
                                         " metadata files: the checkpoint is not whole");
  if (!multi) tables_ = {FileName(basename_)};
  known_ = !multi;
}

// Reading changes nothing on the disk, so what a save has left to be finished is not finished here.
void EntryStream::CheckPublished() const {
  struct stat st;
  const std::string journal = basename_ + ".publish";
  if (stat(journal.c_str(), &st) == 0)
    throw Error(ErrorCode::kBadData, journal + ": a save was interrupted while its files took the place of older ones; the next restore "
                                               "or save of this checkpoint finishes it");
}

const std::vector<std::string>& EntryStream::Tables() {
  if (!known_) {
    for (const TableEntries& t : ReadMeta(meta_[0])) tables_.push_back(t.name);
    known_ = true;
  }
  return tables_;
}

std::vector<EntryStream::TableEntries> EntryStream::ReadMeta(const std::string& path) const {
  std::vector<TableEntries> all;
  RecordFileReader reader(path, Container::kPlain);
  std::string_view message;
  while (reader.Next(&message)) {
    TableEntries t;
    bool has_name = false;
    try {
      wire::Field f;
      for (wire::Reader r(message); r.Next(&f);) {
        if (f.number == 1 && f.type == wire::Type::kBytes) t.name = f.bytes, has_name = true;
        if (f.number == 2 && f.type == wire::Type::kVarint) t.entries = f.scalar;
      }
      if (!has_name) throw BadRecord("the table has no name");
    } catch (const BadRecord& e) {
      throw Error(ErrorCode::kBadData, reader.Where() + ": " + e.what());
    }
    all.push_back(std::move(t));
  }
  if (!known_) return all;
  bool same = all.size() == tables_.size();
  for (size_t i = 0; same && i < all.size(); ++i) same = all[i].name == tables_[i];
  if (!same) throw Error(ErrorCode::kBadData, reader.Where() + ": the tables are not those of " + meta_[0]);
  return all;
}

bool EntryStream::OpenShard() {
  if (shard_ == data_.size()) return false;
  const size_t shard = shard_++;
  table_ = 0;
  read_ = 0;
  if (!meta_.empty()) {
    Tables();
    entries_ = ReadMeta(meta_[shard]);
  }
  reader_ = std::make_unique<RecordFileReader>(data_[shard], meta_.empty() ? Container::kPlain : Container::kSnappyBlocks);
  return true;
}

void EntryStream::EndShard() {
  std::string_view extra;
  const std::unique_ptr<RecordFileReader> reader = std::move(reader_);
  if (reader->Next(&extra))
    throw Error(ErrorCode::kBadData, reader->Where() + " of the uncompressed stream: there are more entries than " + meta_[shard_ - 1] +
                                         " tells of");
}

bool EntryStream::NextRecord(std::string_view* message) {
  while (reader_ || OpenShard()) {
    if (!meta_.empty()) {
      while (table_ < entries_.size() && read_ == entries_[table_].entries) ++table_, read_ = 0;
      if (table_ == entries_.size()) {
        EndShard();
        continue;
      }
    }
    bool there;
    try {
      there = reader_->Next(message);
    } catch (...) {
      reader_.reset();
      throw;
    }
    if (there) {
      ++read_;
      message_ = *message;
      return true;
    }
    const std::string where = reader_->Where();
    reader_.reset();
    if (!meta_.empty())
      throw Error(ErrorCode::kBadData, where + " of the uncompressed stream: the file ends after " + std::to_string(read_) + " of the " +
                                           std::to_string(entries_[table_].entries) + " entries that " + meta_[shard_ - 1] +
                                           " has for table '" + entries_[table_].name + "'");
  }
  return false;
}

bool EntryStream::Next(DumpedEntry* entry, const std::string& only) {
  std::string_view message;
  do {
    if (!NextRecord(&message)) return false;
  } while (!only.empty() && tables_[table_] != only);
  try {
    entry->Parse(message);
  } catch (const BadRecord& e) {
    throw Error(ErrorCode::kBadData, Where() + ": " + e.what());
  }
  return true;
}

std::string EntryStream::Where() const { return reader_->Where() + (meta_.empty() ? "" : " of the uncompressed stream"); }

}  // namespace monolith
