#include "core/tables/admission.h"

#include <algorithm>

#include "core/tables/filters/occurrence_gate.h"
#include "core/tables/key_hash.h"

namespace monolith {

void AdmittedBatch::Choose(const EmbeddingTable& table, const OccurrenceGate& gate, const uint32_t* counts, int64_t global_step) {
  std::vector<uint8_t> found(size_);
  table.Contains(keys_, size_, found.data());
  std::vector<size_t> absent;
  for (size_t i = 0; i < size_; ++i)
    if (!found[i]) absent.push_back(i);
  if (absent.empty()) return;

  std::vector<int64_t> asked;
  std::vector<uint32_t> asked_counts;
  for (size_t i : absent) {
    asked.push_back(keys_[i]);
    if (counts) asked_counts.push_back(counts[i]);
  }
  std::vector<uint8_t> drop(asked.size());
  gate.Decide(asked.data(), counts ? asked_counts.data() : nullptr, asked.size(), global_step, drop.data());
  if (std::find(drop.begin(), drop.end(), 1) == drop.end()) return;

  const size_t dim = static_cast<size_t>(table.dim());
  kept_keys_.reserve(size_);
  kept_rows_.reserve(size_ * dim);
  for (size_t i = 0, next = 0; i < size_; ++i) {
    if (next < absent.size() && absent[next] == i && drop[next++]) continue;
    kept_keys_.push_back(keys_[i]);
    if (rows_) kept_rows_.insert(kept_rows_.end(), rows_ + i * dim, rows_ + (i + 1) * dim);
  }
  keys_ = kept_keys_.data();
  rows_ = kept_rows_.data();
  size_ = kept_keys_.size();
}

DistinctGradients::DistinctGradients(const int64_t* keys, size_t n, const float* grads, size_t dim) {
  constexpr uint32_t kEmpty = UINT32_MAX;
  size_t cells = 16;
  while (cells < 2 * n) cells *= 2;
  std::vector<uint32_t> places(cells, kEmpty);
  for (size_t i = 0; i < n; ++i) {
    size_t at = HashKey(keys[i]) & (cells - 1);
    while (places[at] != kEmpty && keys_[places[at]] != keys[i]) at = (at + 1) & (cells - 1);
    const float* grad = grads + i * dim;
    if (places[at] == kEmpty) {
      places[at] = static_cast<uint32_t>(keys_.size());
      keys_.push_back(keys[i]);
      counts_.push_back(1);
      sums_.insert(sums_.end(), grad, grad + dim);
      continue;
    }
    float* sum = sums_.data() + places[at] * dim;
    for (size_t d = 0; d < dim; ++d) sum[d] += grad[d];
    ++counts_[places[at]];
  }
}

}  // namespace monolith
