#include "tensorflow/pooling.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/tables/filters/occurrence_gate.h"

namespace monolith {
namespace {

inline void CopyRow(const float* from, int n, float* to) { std::copy(from, from + n, to); }
inline void AddRow(const float* __restrict from, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] += from[i];
}

// Sum and mean. A row is written by its first fid, later ones are added, so that nothing is zeroed in advance. kDim: the width where
// there is but one slice; 0: any slices.
template <int kDim>
class SumPooler {
 public:
  SumPooler(const FeaturePlan& plan, const FeatureIds& ids, int64_t begin, float* const* outputs)
      : plan_(plan), splits_(ids.splits()), outputs_(outputs), first_output_(outputs[0]), row_(begin) {}

  void Visit(int64_t at, const float* weights) {
    while (at >= splits_[row_ + 1]) CloseRow();
    if (!weights) return;
    ForEachSlice([&](float* out, int dim) {
      empty_ ? CopyRow(weights, dim, out) : AddRow(weights, dim, out);
      weights += dim;
    });
    empty_ = false;
  }
  void CloseUntil(int64_t end) {
    while (row_ < end) CloseRow();
  }

 private:
  void CloseRow() {
    const int64_t length = splits_[row_ + 1] - splits_[row_];
    if (empty_) {
      ForEachSlice([](float* out, int dim) { std::fill(out, out + dim, 0.0f); });
    } else if (plan_.combiner == Combiner::kMean && length > 1) {
      const float scale = 1.0f / static_cast<float>(length);
      ForEachSlice([scale](float* out, int dim) {
        for (int i = 0; i < dim; ++i) out[i] *= scale;
      });
    }
    ++row_;
    empty_ = true;
  }
  template <class Work>
  void ForEachSlice(Work work) {
    if (kDim) {
      work(first_output_ + row_ * kDim, kDim);
      return;
    }
    for (size_t s = 0; s < plan_.slice_dims.size(); ++s)
      work(outputs_[s] + row_ * plan_.slice_dims[s], plan_.slice_dims[s]);
  }

  const FeaturePlan& plan_;
  const int64_t* splits_;
  float* const* outputs_;
  float* const first_output_;
  int64_t row_;
  bool empty_ = true;  // nothing was written to the row yet
};

class FirstNPooler {
 public:
  FirstNPooler(const FeaturePlan& plan, const FeatureIds& ids, int64_t begin, float* const* outputs)
      : plan_(plan), splits_(ids.splits()), outputs_(outputs), row_(begin) {}

  void Visit(int64_t at, const float* weights) {
    while (at >= splits_[row_ + 1]) CloseRow();
    const int64_t position = row_ * plan_.max_length + (at - splits_[row_]);
    for (size_t s = 0; s < plan_.slice_dims.size(); ++s) {
      const int dim = plan_.slice_dims[s];
      float* out = outputs_[s] + position * dim;
      if (weights) {
        CopyRow(weights, dim, out);
        weights += dim;
      } else {
        std::fill(out, out + dim, 0.0f);
      }
    }
  }
  void CloseUntil(int64_t end) {
    while (row_ < end) CloseRow();
  }

 private:
  void CloseRow() {
    const int64_t length = splits_[row_ + 1] - splits_[row_];
    for (size_t s = 0; s < plan_.slice_dims.size(); ++s) {
      const int dim = plan_.slice_dims[s];
      float* out = outputs_[s] + row_ * plan_.slice_width(s);
      std::fill(out + length * dim, out + plan_.slice_width(s), 0.0f);
    }
    ++row_;
  }

  const FeaturePlan& plan_;
  const int64_t* splits_;
  float* const* outputs_;
  int64_t row_;
};

inline void SetScaled(const float* __restrict from, float scale, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] = scale * from[i];
}
inline void AddScaled(const float* __restrict from, float scale, int n, float* __restrict to) {
  for (int i = 0; i < n; ++i) to[i] += scale * from[i];
}

// Returns how many fids were absent; they are listed in `missing` unless that is nullptr.
template <class Pooler>
size_t Pool(const EmbeddingTable& table, const FeaturePlan& plan, const FeatureIds& ids, int64_t begin, int64_t end,
            float* const* outputs, std::vector<int64_t>* missing) {
  Pooler pooler(plan, ids, begin, outputs);
  const int64_t first = ids.splits()[begin];
  const int64_t* keys = ids.values() + first;
  size_t absent = 0;
  table.VisitRows(keys, ids.splits()[end] - first, [&](size_t i, const float* weights) {
    if (!weights) {
      ++absent;
      if (missing) missing->push_back(keys[i]);
    }
    pooler.Visit(first + static_cast<int64_t>(i), weights);
  });
  pooler.CloseUntil(end);
  return absent;
}

size_t Pool(const EmbeddingTable& table, const FeaturePlan& plan, const FeatureIds& ids, int64_t begin, int64_t end,
            float* const* outputs, std::vector<int64_t>* missing) {
  if (plan.combiner == Combiner::kFirstN) return Pool<FirstNPooler>(table, plan, ids, begin, end, outputs, missing);
  switch (plan.slice_dims.size() == 1 ? plan.slice_dims[0] : 0) {
    case 1: return Pool<SumPooler<1>>(table, plan, ids, begin, end, outputs, missing);
    case 8: return Pool<SumPooler<8>>(table, plan, ids, begin, end, outputs, missing);
    case 16: return Pool<SumPooler<16>>(table, plan, ids, begin, end, outputs, missing);
    default: return Pool<SumPooler<0>>(table, plan, ids, begin, end, outputs, missing);
  }
}

// Finalizer of MurmurHash3: partitions take the high bits, cells the low ones.
inline uint64_t HashKey(int64_t key) {
  uint64_t h = static_cast<uint64_t>(key);
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
  h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return h ^ (h >> 33);
}

inline bool InPart(uint64_t hash, uint64_t part, uint64_t parts) { return ((hash >> 32) * parts) >> 32 == part; }

}  // namespace

Combiner ParseCombiner(const std::string& name) {
  if (name == "reduce_sum") return Combiner::kSum;
  if (name == "reduce_mean") return Combiner::kMean;
  if (name == "first_n") return Combiner::kFirstN;
  throw Error(ErrorCode::kConfig, "there is no combiner '" + name + "'; choose reduce_sum, reduce_mean or first_n");
}

int FeaturePlan::dim() const { return std::accumulate(slice_dims.begin(), slice_dims.end(), 0); }

void FeatureIds::Set(const FeaturePlan& plan, const int64_t* values, size_t num_values, const int64_t* splits,
                     size_t num_splits) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorCode::kUsage, "feature '" + plan.feature + "': " + what);
  };
  if (num_splits == 0 || splits[0] != 0) fail("row_splits must begin with 0");
  int64_t longest = 0;
  for (size_t i = 1; i < num_splits; ++i) {
    if (splits[i] < splits[i - 1]) fail("row_splits must not fall");
    longest = std::max(longest, splits[i] - splits[i - 1]);
  }
  if (splits[num_splits - 1] != static_cast<int64_t>(num_values))
    fail("row_splits end at " + std::to_string(splits[num_splits - 1]) + ", but there are " +
         std::to_string(num_values) + " fids");
  values_ = values;
  splits_ = splits;
  rows_ = static_cast<int64_t>(num_splits) - 1;
  if (plan.combiner == Combiner::kFirstN && longest > plan.max_length) CutRows(plan.max_length);
}

void FeatureIds::CutRows(int64_t max_length) {
  cut_values_.clear();
  cut_splits_.assign(1, 0);
  for (int64_t row = 0; row < rows_; ++row) {
    const int64_t* first = values_ + splits_[row];
    cut_values_.insert(cut_values_.end(), first, first + std::min(max_length, splits_[row + 1] - splits_[row]));
    cut_splits_.push_back(static_cast<int64_t>(cut_values_.size()));
  }
  values_ = cut_values_.data();
  splits_ = cut_splits_.data();
}

void PoolRows(EmbeddingTable* table, const FeaturePlan& plan, const FeatureIds& ids, int64_t begin, int64_t end,
              float* const* outputs, bool insert_missing) {
  if (!insert_missing) {
    Pool(*table, plan, ids, begin, end, outputs, nullptr);
    return;
  }
  std::vector<int64_t> missing;
  if (Pool(*table, plan, ids, begin, end, outputs, &missing) == 0) return;
  if (const OccurrenceGate* gate = table->gate()) {
    missing.erase(std::remove_if(missing.begin(), missing.end(), [&](int64_t id) { return gate->Guards(id); }), missing.end());
    if (missing.empty()) return;
  }
  // A row is born by adding nothing to it. It has no time of its own until its first gradient.
  const std::vector<float> zeros(missing.size() * table->dim());
  table->AssignAdd(missing.data(), missing.size(), zeros.data(), 0);
  Pool(*table, plan, ids, begin, end, outputs, nullptr);
}

void GradientSums::Start(size_t max_keys, int dim) {
  dim_ = dim;
  size_ = 0;
  if (keys_.size() <= max_keys) keys_.resize(max_keys + 1);
  if (count_ && counts_.size() < max_keys) counts_.resize(max_keys);
  uint64_t capacity = 64;
  while (capacity < 2 * max_keys) capacity *= 2;
  if (capacity > cells_.size()) {
    cells_.assign(capacity, Cell{0, 0, 0});
    epoch_ = 0;
  }
  if (++epoch_ == 0) {  // wrapped around: old cells would look taken
    std::fill(cells_.begin(), cells_.end(), Cell{0, 0, 0});
    epoch_ = 1;
  }
  mask_ = capacity - 1;
  if (max_keys * dim > sums_capacity_) {
    sums_capacity_ = max_keys * dim;
    sums_.reset(new float[sums_capacity_]);
  }
}

// Where the sum of a key is. Whether a key is new cannot be guessed, so that nothing branches on it.
inline uint32_t GradientSums::Find(int64_t key, uint64_t hash, bool* fresh) {
  uint64_t at = hash & mask_;
  while (cells_[at].epoch == epoch_ && cells_[at].key != key) at = (at + 1) & mask_;
  Cell& cell = cells_[at];
  *fresh = cell.epoch != epoch_;
  const uint32_t index = *fresh ? static_cast<uint32_t>(size_) : cell.index;
  cell = {key, index, epoch_};
  keys_[size_] = key;
  size_ += *fresh;
  if (count_) counts_[index] = *fresh ? 1 : counts_[index] + 1;
  return index;
}

// each(where its sum is, whether that is new, row of the gradients, scale)
template <class Each>
inline void GradientSums::ForEachId(const FeatureGrads& feature, uint64_t part, uint64_t parts, Each each) {
  const FeaturePlan& plan = *feature.plan;
  const int64_t* values = feature.ids->values();
  const int64_t* splits = feature.ids->splits();
  const bool first_n = plan.combiner == Combiner::kFirstN;
  for (int64_t row = 0; row < feature.ids->rows(); ++row) {
    const int64_t begin = splits[row], end = splits[row + 1];
    const float scale = plan.combiner == Combiner::kMean ? 1.0f / static_cast<float>(end - begin) : 1.0f;
    for (int64_t at = begin; at < end; ++at) {
      const uint64_t hash = HashKey(values[at]);
      if (parts > 1 && !InPart(hash, part, parts)) continue;
      bool fresh;
      const uint32_t index = Find(values[at], hash, &fresh);
      each(index, fresh, first_n ? row * plan.max_length + (at - begin) : row, scale);
    }
  }
}

void GradientSums::Add(const FeatureGrads& feature, uint64_t part, uint64_t parts) {
  float* sums = sums_.get();
  const std::vector<int>& dims = feature.plan->slice_dims;
  if (dims.size() == 1 && dims[0] == 1) {
    ForEachId(feature, part, parts, [sums, grads = feature.grads[0]](uint32_t index, bool fresh, int64_t position, float scale) {
      const float grad = scale * grads[position];
      sums[index] = fresh ? grad : sums[index] + grad;
    });
    return;
  }
  ForEachId(feature, part, parts, [&](uint32_t index, bool fresh, int64_t position, float scale) {
    float* sum = sums + size_t{index} * dim_;
    for (size_t s = 0; s < dims.size(); ++s) {
      const int dim = dims[s];
      const float* grad = feature.grads[s] ? feature.grads[s] + position * dim : nullptr;
      if (!grad) {
        if (fresh) std::fill(sum, sum + dim, 0.0f);
      } else if (fresh) {
        SetScaled(grad, scale, dim, sum);
      } else {
        AddScaled(grad, scale, dim, sum);
      }
      sum += dim;
    }
  });
}

void GradientSums::Sum(const std::vector<FeatureGrads>& features, int dim, uint64_t part, uint64_t parts, bool count) {
  count_ = count;
  size_t most = 0;
  for (const FeatureGrads& f : features) {
    if (parts == 1) {
      most += f.ids->size();
      continue;
    }
    for (int64_t i = 0; i < f.ids->size(); ++i) most += InPart(HashKey(f.ids->values()[i]), part, parts);
  }
  Start(most, dim);
  for (const FeatureGrads& f : features) Add(f, part, parts);
}

}  // namespace monolith
