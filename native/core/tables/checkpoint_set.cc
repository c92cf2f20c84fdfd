#include "core/tables/checkpoint_set.h"

#include <algorithm>
#include <filesystem>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/tables/checkpoint_files.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

constexpr char kMultiPrefix[] = "MonolithMultiHashTable";

std::string FileName(const std::string& path) { return path.substr(path.rfind('/') + 1); }
std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

SectionInfo DecodeMeta(std::string_view message) {
  SectionInfo s;
  bool has_name = false;
  wire::Field f;
  for (wire::Reader r(message); r.Next(&f);) {
    if (f.number == 1 && f.type == wire::Type::kBytes) s.table = f.bytes, has_name = true;
    if (f.number == 2 && f.type == wire::Type::kVarint) s.rows = f.scalar;
  }
  if (!has_name) throw BadRecord("the table has no name");
  return s;
}

std::vector<SectionInfo> ReadMeta(const std::string& path, const Manifest* manifest) {
  std::vector<SectionInfo> all;
  RecordFileReader reader(path, Container::kPlain);
  std::string_view message;
  while (reader.Next(&message)) {
    try {
      all.push_back(DecodeMeta(message));
    } catch (const BadRecord& e) {
      throw Error(ErrorCode::kBadData, reader.Where() + ": " + e.what());
    }
  }
  if (manifest) CheckFileContent(*manifest, path, reader.bytes(), reader.crc32c());
  return all;
}

}  // namespace

ShardReader::ShardReader(const std::string& path, Container container, std::vector<SectionInfo> sections, std::string told_by,
                         const Manifest* manifest)
    : path_(path),
      reader_(path, container),
      stream_(container == Container::kSnappyBlocks),
      sections_(std::move(sections)),
      told_by_(std::move(told_by)),
      manifest_(manifest) {}

std::string ShardReader::Where() const { return reader_.Where() + (stream_ ? " of the uncompressed stream" : ""); }

const SectionInfo* ShardReader::NextSection() {
  std::string_view message;
  std::vector<int64_t> keys;
  while (NextRow(&message)) {
  }
  while (NextErased(&keys)) {
  }
  if (section_ == sections_.size()) {
    AtEnd();
    return nullptr;
  }
  const SectionInfo& s = sections_[section_++];
  rows_left_ = s.counted ? s.rows : UINT64_MAX;
  erased_left_ = s.erased;
  return &s;
}

bool ShardReader::Record(std::string_view* message, uint64_t left, uint64_t all, const char* what) {
  if (reader_.Next(message)) return true;
  const SectionInfo& s = sections_[section_ - 1];
  if (!s.counted) return false;
  throw Error(ErrorCode::kBadData, Where() + ": the file ends after " + std::to_string(all - left) + " of the " + std::to_string(all) + " " +
                                       what + " that " + told_by_ + " has for table '" + s.table + "'");
}

bool ShardReader::NextRow(std::string_view* message) {
  if (rows_left_ == 0) return false;
  if (!Record(message, rows_left_, sections_[section_ - 1].rows, "entries")) {
    rows_left_ = 0;
    return false;
  }
  --rows_left_;
  return true;
}

bool ShardReader::NextErased(std::vector<int64_t>* keys) {
  if (erased_left_ == 0) return false;
  std::string_view message;
  Record(&message, erased_left_, sections_[section_ - 1].erased, "erased keys");
  const size_t n = message.size() / sizeof(int64_t);
  if (message.size() % sizeof(int64_t) != 0 || n == 0 || n > erased_left_)
    throw Error(ErrorCode::kBadData, Where() + ": this is no list of at most " + std::to_string(erased_left_) + " erased keys");
  keys->resize(n);
  for (size_t i = 0; i < n; ++i) (*keys)[i] = LoadLe<int64_t>(message.data() + i * sizeof(int64_t));
  erased_left_ -= n;
  return true;
}

void ShardReader::AtEnd() {
  std::string_view extra;
  if (reader_.Next(&extra)) throw Error(ErrorCode::kBadData, Where() + ": there are more entries than " + told_by_ + " tells of");
  if (manifest_) CheckFileContent(*manifest_, path_, reader_.bytes(), reader_.crc32c());
}

CheckpointSet CheckpointSet::Open(const std::string& basename, std::optional<Manifest> manifest, bool sizes) {
  CheckpointSet set;
  set.basename_ = basename;
  set.manifest_ = std::move(manifest);
  if (set.manifest_ && set.manifest_->delta()) {
    set.form_ = Form::kDelta;
    for (const ManifestFile& f : set.manifest_->files) set.data_.push_back(FolderOf(basename) + f.name);
    CheckFiles(*set.manifest_, basename, sizes);
    return set;
  }
  const std::string meta = basename + ".meta";
  const bool multi = HasShards(meta);
  if ((multi || set.manifest_) && !HasShards(basename))
    throw Error(ErrorCode::kBadData, ShardName(basename, 0, 1) + " or alike is missing: the checkpoint is not whole");
  set.data_ = FindShards(basename);
  if (!multi && FileName(basename).compare(0, sizeof kMultiPrefix - 1, kMultiPrefix) == 0)
    throw Error(ErrorCode::kBadData, ShardName(meta, 0, set.data_.size()) + " is missing: the checkpoint is not whole");
  if (multi) {
    set.form_ = Form::kMulti;
    set.meta_ = FindShards(meta);
    if (set.meta_.size() != set.data_.size())
      throw Error(ErrorCode::kBadData, basename + ": " + std::to_string(set.data_.size()) + " data files but " +
                                           std::to_string(set.meta_.size()) + " metadata files: the checkpoint is not whole");
  }
  if (!set.manifest_) return set;
  CheckFiles(*set.manifest_, basename, sizes);
  for (const auto* files : {&set.data_, &set.meta_})
    for (const std::string& path : *files)
      if (!set.manifest_->Find(FileName(path)))
        throw Error(ErrorCode::kBadData, path + ": at byte 0: " + ManifestName(basename) + " does not know this file; it is of another save");
  return set;
}

std::string CheckpointSet::ToldBy(size_t shard) const {
  return form_ == Form::kMulti ? meta_[shard] : form_ == Form::kDelta ? ManifestName(basename_) : data_[shard];
}

std::vector<SectionInfo> CheckpointSet::Sections(size_t shard) const {
  const Manifest* manifest = manifest_ ? &*manifest_ : nullptr;
  if (form_ == Form::kMulti) return ReadMeta(meta_[shard], manifest);
  if (form_ == Form::kSingle) return {{FileName(basename_), 0, 0, false}};
  std::vector<SectionInfo> all;
  for (const ManifestSection& s : manifest_->files[shard].sections) all.push_back({s.table, s.rows, s.erased, true});
  return all;
}

std::map<std::string, uint64_t> CheckpointSet::RowCounts() const {
  std::map<std::string, uint64_t> counts;
  for (size_t k = 0; k < shards(); ++k) {
    // No file has more rows than bytes, whatever stands in the metadata: a row takes nine at least, and snappy saves 95 %.
    const uint64_t bytes = static_cast<uint64_t>(std::filesystem::file_size(data_[k]));
    for (const SectionInfo& s : Sections(k)) {
      uint64_t rows = s.rows;
      std::string_view first;
      if (!s.counted) {
        RecordFileReader reader(data_[k], Container::kPlain);
        rows = reader.Next(&first) ? bytes / (first.size() + 16) : 0;
      }
      counts[s.table] += std::min(rows, 2 * bytes);
    }
  }
  return counts;
}

std::unique_ptr<ShardReader> CheckpointSet::OpenShard(size_t shard) const {
  const Container container = form_ == Form::kSingle ? Container::kPlain : Container::kSnappyBlocks;
  return std::make_unique<ShardReader>(data_[shard], container, Sections(shard), ToldBy(shard), manifest_ ? &*manifest_ : nullptr);
}

}  // namespace monolith
