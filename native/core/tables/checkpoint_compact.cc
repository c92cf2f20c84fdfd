#include <algorithm>

#include "core/base/error.h"
#include "core/tables/checkpoint.h"
#include "core/tables/checkpoint_files.h"
#include "core/tables/checkpoint_set.h"
#include "core/tables/key_set.h"
#include "core/tables/set_writer.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

int64_t KeyOf(std::string_view message) {
  bool has_id = false;
  int64_t key = 0;
  wire::Field f;
  for (wire::Reader r(message); r.Next(&f);)
    if (f.number == 1 && f.type == wire::Type::kFixed64) key = f.AsInt64(), has_id = true;  // the last one counts
  if (!has_id) throw BadRecord("the entry has no id");
  return key;
}

// One whole set, written table by table.
class WholeWriter {
 public:
  WholeWriter(const std::string& basename, size_t shards) : files_(basename), rows_(shards) {
    for (size_t k = 0; k < shards; ++k) data_.push_back(files_.Add(ShardName(basename, k, shards), Container::kSnappyBlocks));
    for (size_t k = 0; k < shards; ++k) meta_.push_back(files_.Add(ShardName(basename + ".meta", k, shards), Container::kPlain));
  }
  void Write(std::string_view message) {
    data_[next_]->Write(message);
    ++rows_[next_];
    ++all_;
    if (++next_ == data_.size()) next_ = 0;
  }
  void EndTable(const std::string& name) {
    for (size_t k = 0; k < meta_.size(); ++k) {
      std::string message;
      wire::Writer w(&message);
      w.Bytes(1, name);
      w.Varint(2, rows_[k]);
      meta_[k]->Write(message);
      rows_[k] = 0;
    }
  }
  uint64_t Publish() {
    for (const auto* files : {&data_, &meta_})
      for (RecordFileWriter* w : *files) w->Finish();
    files_.Publish();
    return all_;
  }

 private:
  SetWriter files_;
  std::vector<RecordFileWriter*> data_, meta_;
  std::vector<uint64_t> rows_;
  size_t next_ = 0;
  uint64_t all_ = 0;
};

// All files of a chain, read side by side: each has its tables in the same order.
class ChainReader {
 public:
  explicit ChainReader(const std::string& basename) {
    for (ChainLink& link : ReadChain(basename, FinishPublish)) sets_.push_back(CheckpointSet::Open(link.basename, std::move(link.manifest)));
    std::reverse(sets_.begin(), sets_.end());
    for (const CheckpointSet& set : sets_) {
      if (set.form() == CheckpointSet::Form::kSingle)
        throw Error(ErrorCode::kUsage, set.basename() + ": a checkpoint of a single table has no deltas to be merged with");
      std::vector<std::unique_ptr<ShardReader>> files;
      for (size_t k = 0; k < set.shards(); ++k) {
        files.push_back(set.OpenShard(k));
        for (const SectionInfo& s : set.Sections(k)) rows_ += s.rows;
      }
      readers_.push_back(std::move(files));
    }
    for (const SectionInfo& s : sets_[0].Sections(0)) tables_.push_back(s.table);
  }
  const std::vector<std::string>& tables() const { return tables_; }
  uint64_t rows() const { return rows_; }  // at most

  // The rows of the next table, each key once, as the newest link has it.
  template <class Visit>
  void NextTable(const std::string& table, Visit visit) {
    KeySet newer;
    for (size_t i = 0; i < readers_.size(); ++i) {
      std::vector<int64_t> keys, erased;
      const bool older_follow = i + 1 < readers_.size();
      for (auto& reader : readers_[i]) {
        const SectionInfo* section = reader->NextSection();
        if (!section || section->table != table) OtherTables(*reader, table);
        std::string_view message;
        while (reader->NextRow(&message)) {
          int64_t key;
          try {
            key = KeyOf(message);
          } catch (const BadRecord& e) {
            throw Error(ErrorCode::kBadData, reader->Where() + ": " + e.what());
          }
          if (!newer.Contains(key)) visit(message);
          if (older_follow) keys.push_back(key);
        }
        while (reader->NextErased(&erased))
          if (older_follow) keys.insert(keys.end(), erased.begin(), erased.end());
      }
      for (const int64_t key : keys) newer.Insert(key);
    }
  }
  // Behind the last table: all files are as their manifests say.
  void Finish() {
    for (auto& files : readers_)
      for (auto& reader : files)
        if (reader->NextSection()) OtherTables(*reader, "");
  }

 private:
  [[noreturn]] void OtherTables(const ShardReader& reader, const std::string& table) {
    throw Error(ErrorCode::kBadData, reader.Where() + ": the tables are not those of " + sets_[0].basename() +
                                         (table.empty() ? "" : ", which has '" + table + "' here"));
  }

  std::vector<CheckpointSet> sets_;
  std::vector<std::vector<std::unique_ptr<ShardReader>>> readers_;
  std::vector<std::string> tables_;
  uint64_t rows_ = 0;
};

}  // namespace

uint64_t CompactChain(const std::string& from, const std::string& to, int shards) {
  ChainReader reader(from);
  WholeWriter writer(to, ShardCount(shards, reader.rows()));
  for (const std::string& table : reader.tables()) {
    reader.NextTable(table, [&](std::string_view message) { writer.Write(message); });
    writer.EndTable(table);
  }
  reader.Finish();
  return writer.Publish();
}

}  // namespace monolith
