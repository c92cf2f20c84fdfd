#include "core/tables/entry_stream.h"

#include <sys/stat.h>

#include <algorithm>

#include "core/base/error.h"

namespace monolith {
namespace {

// Reading changes nothing on the disk, so what a save has left to be finished is not finished here.
void CheckPublished(const std::string& basename) {
  struct stat st;
  const std::string journal = basename + ".publish";
  if (stat(journal.c_str(), &st) == 0)
    throw Error(ErrorCode::kBadData, journal + ": a save was interrupted while its files took the place of older ones; the next restore "
                                               "or save of this checkpoint finishes it");
}

}  // namespace

EntryStream::EntryStream(std::string basename) : basename_(std::move(basename)) {
  for (ChainLink& link : ReadChain(basename_, CheckPublished))
    links_.push_back(CheckpointSet::Open(link.basename, std::move(link.manifest), false));
  std::reverse(links_.begin(), links_.end());
}

const std::vector<std::string>& EntryStream::Tables() {
  if (tables_.empty()) {
    for (const SectionInfo& s : links_[0].Sections(0)) tables_.push_back(s.table);
    newer_.resize(tables_.size());
    keys_.resize(tables_.size());
  }
  return tables_;
}

bool EntryStream::OpenShard() {
  while (link_ < links_.size() && shard_ == links_[link_].shards()) EndLink();
  if (link_ == links_.size()) return false;
  const CheckpointSet& set = links_[link_];
  const size_t shard = shard_++;
  const std::vector<std::string>& tables = Tables();
  const std::vector<SectionInfo> sections = set.Sections(shard);
  const bool same = std::equal(sections.begin(), sections.end(), tables.begin(), tables.end(),
                               [](const SectionInfo& s, const std::string& name) { return s.table == name; });
  if (!same)
    throw Error(ErrorCode::kBadData, set.ToldBy(shard) + ": at byte 0: the tables are not those of " + links_[0].ToldBy(0));
  reader_ = set.OpenShard(shard);
  sections_read_ = 0;
  in_section_ = false;
  return true;
}

void EntryStream::EndLink() {
  if (link_ + 1 < links_.size())
    for (size_t t = 0; t < keys_.size(); ++t)
      for (const int64_t key : keys_[t]) newer_[t].Insert(key);
  for (auto& keys : keys_) keys.clear();
  ++link_;
  shard_ = 0;
}

// False at the end of the file.
bool EntryStream::NextSection() {
  if (!reader_->NextSection()) return false;
  table_ = sections_read_++;
  in_section_ = true;
  return true;
}

void EntryStream::ReadErased() {
  std::vector<int64_t> erased;
  while (reader_->NextErased(&erased)) keys_[table_].insert(keys_[table_].end(), erased.begin(), erased.end());
}

bool EntryStream::NextRecord(std::string_view* message) {
  where_.clear();
  while (reader_ || OpenShard()) {
    try {
      if (in_section_) {
        if (reader_->NextRow(message)) {
          message_ = *message;
          return true;
        }
        ReadErased();
        in_section_ = false;
      } else if (!NextSection()) {
        reader_.reset();
      }
    } catch (...) {
      where_ = reader_->Where();
      reader_.reset();
      throw;
    }
  }
  return false;
}

bool EntryStream::Next(DumpedEntry* entry, const std::string& only) {
  std::string_view message;
  for (;;) {
    if (!NextRecord(&message)) return false;
    const bool wanted = only.empty() || tables_[table_] == only;
    if (!wanted && links_.size() == 1) continue;
    try {
      entry->Parse(message);
    } catch (const BadRecord& e) {
      throw Error(ErrorCode::kBadData, Where() + ": " + e.what());
    }
    if (newer_[table_].Contains(entry->key)) continue;
    if (link_ + 1 < links_.size()) keys_[table_].push_back(entry->key);
    if (wanted) return true;
  }
}

}  // namespace monolith
