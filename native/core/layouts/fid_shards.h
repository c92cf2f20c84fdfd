// The fids of a batch, table by table and server by server, and where the embedding of each will lie in what is looked up for
// them (spec 40, section 8.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/layouts/layout_plan.h"

namespace monolith::layouts {

// Fids of one feature: those of row i are values[splits[i]] … values[splits[i + 1] - 1].
struct FidRows {
  const int64_t* values = nullptr;
  int64_t num_values = 0;
  const int64_t* splits = nullptr;
  int64_t num_splits = 0;
  bool shared = false;  // one run of fids for all rows of the batch

  int64_t runs() const { return num_splits - 1; }
};

// How an offset says where the embedding of a fid lies: `list` in the high 32 bits, `place` in the low ones.
enum class OffsetForm : uint8_t {
  kRows,         // version 1: list table * servers + server; place counts its rows
  kFeatureRows,  // version 2: a list for each feature on each server of its table, tables first; place counts rows of the feature
  kFloats,       // versions 3 and 5: list table * servers + server; place counts its floats
  kFlatFloats,   // version 4: as kFloats; the embeddings of all lists are one tensor, those of a server together
};
constexpr int kOldestVersion = 1, kNewestVersion = 5;
OffsetForm FormOf(int version);

// Lists are numbered table * servers + server. Memory is kept from one use to the next.
struct FidShards {
  std::vector<std::vector<int64_t>> fids;        // of the features of the table, one after the other
  std::vector<std::vector<int64_t>> row_splits;  // where each of these features begins, and the end
  std::vector<int32_t> floats;                   // of the embeddings of each list, where offsets count floats; else 0
  std::vector<int32_t> feature_offset;           // see Offsets in layout_fill.h
  std::vector<uint32_t> nfl_offset;
};

// fid -> its place among the fids of one feature on its server, for one feature at a time.
class FidPlaces {
 public:
  void Start(size_t most);
  // Where `fid` is; `next` when it is new, and then it stays there.
  uint32_t Find(int64_t fid, uint32_t next);

 private:
  struct Cell {
    int64_t fid;
    uint32_t place;
    uint32_t epoch;  // the cell is taken when this is the epoch of the present use
  };
  std::vector<Cell> cells_;
  uint64_t mask_ = 0;
  uint32_t epoch_ = 0;
};

// Two steps, so that what is long can be spread over threads and the result written where it belongs:
//   FidSharder s; s.Plan(...); for each feature: s.Place(f, &places, fid_offset); s.Join(fid_offset, &shards);
class FidSharder {
 public:
  // Throws Error(kUsage) naming the feature when splits do not fit values, or rows of features differ. `unique`: a fid that a
  // feature has twice is looked up once.
  void Plan(const LayoutPlan& plan, int servers, bool unique, std::vector<FidRows> features, OffsetForm form = OffsetForm::kFloats);
  int64_t rows() const { return rows_; }
  int64_t num_fids() const { return fid_begin_.back(); }

  // Places the fids of one feature: fid_offset has num_fids() entries. Different features may be placed at the same time.
  void Place(size_t feature, FidPlaces* places, uint64_t* fid_offset);
  // Puts the features together. Throws Error(kUsage) where a list would have more rows or floats than an offset can say.
  void Join(uint64_t* fid_offset, FidShards* out);

 private:
  void CheckRows();
  void NumberLists();
  bool counts_floats() const { return form_ == OffsetForm::kFloats || form_ == OffsetForm::kFlatFloats; }
  // What a fid of a feature adds to a place.
  uint64_t UnitOf(size_t feature) const { return counts_floats() ? static_cast<uint64_t>(plan_->features[feature].dim) : 1; }
  size_t ListOf(size_t feature, int server) const {
    return plan_->features[feature].table * static_cast<size_t>(servers_) + static_cast<size_t>(server);
  }

  const LayoutPlan* plan_ = nullptr;
  int servers_ = 1;
  bool unique_ = true;
  OffsetForm form_ = OffsetForm::kFloats;
  int64_t rows_ = 0;
  std::vector<uint64_t> first_number_;  // of each feature: the list on server 0, as offsets number it
  std::vector<uint64_t> server_step_;   // of each feature: from its list on one server to that on the next
  std::vector<FidRows> features_;
  std::vector<int64_t> fid_begin_;                 // of each feature in fid_offset, and their number
  std::vector<std::vector<int64_t>> local_;        // feature * servers + server: fids
};

}  // namespace monolith::layouts
