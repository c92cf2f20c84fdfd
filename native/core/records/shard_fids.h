// From a batch of records the fids to look up, by embedding table and parameter server, and for every occurrence of a
// fid its place in these lists (spec 10, section 8).
//
// Fids: of an Example or ExampleBatch the fid_v1_list (as v2 fids) or fid_v2_list of a feature; of an Instance for the name
// slot_<n> or fc_slot_<n> the v1 fids of slot n (as v2), and for any name the columns of that name (fid, then fid_list, as
// they are), which go before the former. Of two features of one name in a record the last counts. A fid goes to server
// fid mod ps_num.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/record.h"
#include "core/parse/name_table.h"

namespace monolith {

struct ShardFeature {
  std::string name, table;
  std::vector<int32_t> slice_dims;  // widths, at least 0; their sum is the width of an embedding
};

struct ShardConfig {
  RecordType type = RecordType::kInstance;
  std::vector<ShardFeature> features;  // in any order
  uint32_t ps_num = 1;                 // parameter servers, up to 65536; 0 counts as 1
  bool unique = false;                 // a fid stands once in the list of its feature
  int version = 5;                     // of the output, 1 to 5
};

// Lists by table (sorted by name) and server are at [table * ps_num + server].
struct ShardedFids {
  std::vector<std::vector<uint64_t>> fids;
  std::vector<std::vector<int64_t>> row_splits;  // where in fids the features of the table begin, and the end
  std::vector<int32_t> emb_size;                 // floats that all rows of the list have together

  // Features by name, then rows, then the places in a row:
  std::vector<uint64_t> fid_offset;     // of each occurrence: which list << 32 | where in it; see OffsetOf in the source
  std::vector<int32_t> feature_offset;  // of each row its first occurrence, and the end
  std::vector<uint32_t> nfl_offset;     // of each feature its first row, and the end + 1; bit 31: one row for all
  int32_t batch_size = 0;               // rows
};

class FidSharder {
 public:
  // Throws Error(kUsage) for a mistake in the configuration.
  explicit FidSharder(ShardConfig config);

  // One Instance or Example; or one ExampleBatch, which is a batch for itself. Throws BadRecord; the record is not there
  // then.
  void Add(std::string_view payload);
  size_t rows() const { return rows_; }

  // Shards what was added and begins a new batch. Valid until the next call. Throws BadRecord for a batch whose numbers
  // do not fit.
  const ShardedFids& Finish();

  const ShardConfig& config() const { return config_; }  // features by name, ps_num at least 1
  const std::vector<std::string>& tables() const { return tables_; }
  // Number of features of a table.
  uint32_t features_of(size_t table) const { return table_features_[table]; }

 private:
  struct Feature {
    uint32_t table, place;  // place: among the features of its table
    uint64_t width;
    int slot = -1;  // of flat fids
    bool shared = false, seen = false;
    size_t begin = 0;              // of the row that is being read
    std::string_view pending;      // its message in the record that is being read
    std::vector<uint64_t> fids;    // of all rows
    std::vector<uint32_t> lengths; // of rows
  };

  void SetUpTables();
  void AddInstance(std::string_view payload);
  void AddExample(std::string_view payload);
  void AddBatch(std::string_view payload);
  void AddColumn(Feature* feature, size_t rows);
  void EndRow(Feature* feature);
  void ReadColumn(std::string_view column, Feature* feature);
  void ReadNamed(std::string_view named, Feature* feature);
  void ReadFeature(std::string_view features_of_feature, Feature* feature);
  void RollBack();

  void ShardFeatureFids(size_t f);
  uint64_t OffsetOf(const Feature& feature, uint32_t server, uint64_t position) const;
  uint32_t Position(uint64_t fid, std::vector<uint64_t>* list, uint64_t before);
  void Grow();
  void Clear();

  ShardConfig config_;
  std::vector<std::string> tables_;
  std::vector<uint32_t> table_features_;
  std::vector<uint64_t> table_base_;  // of version 2
  std::vector<Feature> features_;     // by name
  NameTable names_;
  std::vector<int> by_number_;  // number in names_ -> index in features_
  int16_t by_slot_[1024];
  bool flat_ = false;
  size_t rows_ = 0;
  const char* origin_ = nullptr;
  std::string merged_;

  ShardedFids out_;
  std::vector<uint64_t> before_rows_, before_floats_;  // of the table's features that came before, by server
  // Positions of the fids of one feature: open addressing, emptied by a new generation.
  struct Slot {
    uint64_t fid;
    uint32_t generation, position;
  };
  std::vector<Slot> seen_;
  uint32_t generation_ = 0;
  size_t seen_count_ = 0;
};

}  // namespace monolith
