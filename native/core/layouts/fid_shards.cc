#include "core/layouts/fid_shards.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/layouts/layout_fill.h"

namespace monolith::layouts {
namespace {

inline uint64_t Hash(int64_t fid) {
  uint64_t h = static_cast<uint64_t>(fid);
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
  h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return h ^ (h >> 33);
}

[[noreturn]] void Fail(const Feature& feature, const std::string& what) {
  throw Error(ErrorCode::kUsage, "feature '" + feature.name + "': " + what);
}

void CheckSplits(const Feature& feature, const FidRows& ids) {
  if (ids.num_splits == 0 || ids.splits[0] != 0) Fail(feature, "row_splits must begin with 0");
  for (int64_t i = 1; i < ids.num_splits; ++i)
    if (ids.splits[i] < ids.splits[i - 1]) Fail(feature, "row_splits must not fall");
  if (ids.splits[ids.num_splits - 1] != ids.num_values)
    Fail(feature, "row_splits end at " + std::to_string(ids.splits[ids.num_splits - 1]) + ", but there are " +
                      std::to_string(ids.num_values) + " fids");
  if (ids.shared && ids.runs() != 1) Fail(feature, "a shared feature has 1 row, not " + std::to_string(ids.runs()));
}

}  // namespace

OffsetForm FormOf(int version) {
  switch (version) {
    case 1:
      return OffsetForm::kRows;
    case 2:
      return OffsetForm::kFeatureRows;
    case 3:
    case 5:
      return OffsetForm::kFloats;
    case 4:
      return OffsetForm::kFlatFloats;
  }
  throw Error(ErrorCode::kUsage, "there is no version " + std::to_string(version) + " of layouts; use 1 to 5");
}

void FidPlaces::Start(size_t most) {
  uint64_t capacity = 64;
  while (capacity < 2 * most) capacity *= 2;
  if (capacity > cells_.size()) {
    cells_.assign(capacity, Cell{0, 0, 0});
    epoch_ = 0;
  }
  if (++epoch_ == 0) {  // wrapped around: old cells would look taken
    std::fill(cells_.begin(), cells_.end(), Cell{0, 0, 0});
    epoch_ = 1;
  }
  mask_ = capacity - 1;
}

uint32_t FidPlaces::Find(int64_t fid, uint32_t next) {
  for (uint64_t at = Hash(fid) & mask_;; at = (at + 1) & mask_) {
    Cell& cell = cells_[at];
    if (cell.epoch != epoch_) {
      cell = {fid, next, epoch_};
      return next;
    }
    if (cell.fid == fid) return cell.place;
  }
}

void FidSharder::Plan(const LayoutPlan& plan, int servers, bool unique, std::vector<FidRows> features, OffsetForm form) {
  plan_ = &plan;
  servers_ = servers;
  unique_ = unique;
  form_ = form;
  features_ = std::move(features);
  fid_begin_.assign(1, 0);
  for (size_t f = 0; f < features_.size(); ++f) {
    CheckSplits(plan.features[f], features_[f]);
    fid_begin_.push_back(fid_begin_.back() + features_[f].num_values);
  }
  if (fid_begin_.back() > std::numeric_limits<int32_t>::max())
    throw Error(ErrorCode::kUsage, "a batch of " + std::to_string(fid_begin_.back()) + " fids is too large: 2147483647 can be told apart");
  local_.resize(features_.size() * static_cast<size_t>(servers_));
  CheckRows();
  NumberLists();
}

void FidSharder::NumberLists() {
  const size_t tables = plan_->tables.size(), servers = static_cast<size_t>(servers_);
  std::vector<uint64_t> in_table(tables, 0), before(tables, 0), seen(tables, 0);
  for (const Feature& f : plan_->features) ++in_table[f.table];
  for (size_t t = 1; t < tables; ++t) before[t] = before[t - 1] + in_table[t - 1] * servers;
  first_number_.clear();
  server_step_.clear();
  for (const Feature& f : plan_->features) {
    const bool of_feature = form_ == OffsetForm::kFeatureRows;
    first_number_.push_back(of_feature ? before[f.table] + seen[f.table]++ : f.table * servers);
    server_step_.push_back(of_feature ? in_table[f.table] : 1);
  }
}

void FidSharder::CheckRows() {
  rows_ = 1;
  size_t first = features_.size();
  for (size_t f = 0; f < features_.size(); ++f) {
    if (features_[f].shared) continue;
    if (first == features_.size()) {
      first = f;
      rows_ = features_[f].runs();
    } else if (features_[f].runs() != rows_) {
      Fail(plan_->features[f], "it has " + std::to_string(features_[f].runs()) + " rows, but feature '" + plan_->features[first].name +
                                   "' has " + std::to_string(rows_));
    }
  }
}

void FidSharder::Place(size_t feature, FidPlaces* places, uint64_t* fid_offset) {
  const FidRows& ids = features_[feature];
  const uint64_t unit = UnitOf(feature), number = first_number_[feature], step = server_step_[feature];
  std::vector<int64_t>* local = local_.data() + feature * static_cast<size_t>(servers_);
  for (int p = 0; p < servers_; ++p) local[p].clear();
  if (unique_) places->Start(static_cast<size_t>(ids.num_values));
  uint64_t* out = fid_offset + fid_begin_[feature];
  for (int64_t i = 0; i < ids.num_values; ++i) {
    const int64_t fid = ids.values[i];
    const int server = servers_ == 1 ? 0 : static_cast<int>(static_cast<uint64_t>(fid) % static_cast<uint64_t>(servers_));
    const uint32_t next = static_cast<uint32_t>(local[server].size());
    const uint32_t place = unique_ ? places->Find(fid, next) : next;
    if (place == next) local[server].push_back(fid);
    // Places are checked in Join, before anybody reads them.
    out[i] = (number + static_cast<uint64_t>(server) * step) << 32 | (place * unit & 0xffffffffu);
  }
}

void FidSharder::Join(uint64_t* fid_offset, FidShards* out) {
  const size_t lists = plan_->tables.size() * static_cast<size_t>(servers_);
  out->fids.resize(lists);
  out->row_splits.resize(lists);
  for (auto& list : out->fids) list.clear();
  for (auto& splits : out->row_splits) splits.assign(1, 0);
  std::vector<uint64_t> places(lists, 0);
  std::vector<uint64_t> base(static_cast<size_t>(servers_));
  const uint64_t most = static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
  out->feature_offset.clear();
  out->nfl_offset.clear();
  for (size_t f = 0; f < features_.size(); ++f) {
    const FidRows& ids = features_[f];
    bool moved = false;
    for (int p = 0; p < servers_; ++p) {
      const size_t list = ListOf(f, p);
      const std::vector<int64_t>& local = local_[f * static_cast<size_t>(servers_) + static_cast<size_t>(p)];
      base[static_cast<size_t>(p)] = form_ == OffsetForm::kFeatureRows ? 0 : places[list];
      moved |= base[static_cast<size_t>(p)] != 0;
      places[list] += local.size() * UnitOf(f);
      if (places[list] > most)
        Fail(plan_->features[f], "table '" + plan_->tables[plan_->features[f].table] + "' would give " + std::to_string(places[list]) +
                                     (counts_floats() ? " floats" : " rows") +
                                     " for this batch; 2147483647 is as far as an offset reaches: make the batch smaller");
      out->fids[list].insert(out->fids[list].end(), local.begin(), local.end());
      out->row_splits[list].push_back(static_cast<int64_t>(out->fids[list].size()));
    }
    if (moved)
      for (int64_t i = fid_begin_[f]; i < fid_begin_[f + 1]; ++i)
        fid_offset[i] += base[static_cast<size_t>(((fid_offset[i] >> 32) - first_number_[f]) / server_step_[f])];
    out->nfl_offset.push_back(static_cast<uint32_t>(out->feature_offset.size()) | (ids.shared ? kShared : 0));
    for (int64_t run = 0; run < ids.runs(); ++run)
      out->feature_offset.push_back(static_cast<int32_t>(fid_begin_[f] + ids.splits[run]));
  }
  out->feature_offset.push_back(static_cast<int32_t>(fid_begin_.back()));
  // One more than there are runs, as the format has it: readers look whether two entries differ, and no more.
  out->nfl_offset.push_back(static_cast<uint32_t>(out->feature_offset.size()));
  out->floats.assign(lists, 0);
  if (counts_floats()) std::copy(places.begin(), places.end(), out->floats.begin());
}

}  // namespace monolith::layouts
