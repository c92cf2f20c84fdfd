#include "core/tables/row_adapter.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {

// An optimizer without state in checkpoints leaves no place there. Where all others are matched, it is taken to be where the
// table has it.
void RowAdapter::FindSegments(const DumpedEntry& entry) {
  stored_.clear();
  const auto& plan = plan_.segments();
  const size_t dumped = static_cast<size_t>(
      std::count_if(plan.begin(), plan.end(), [](const SegmentPlan& p) { return p.type->dump_number != 0; }));
  if (entry.segments.size() == dumped) {
    size_t next = 0;
    for (const SegmentPlan& p : plan) stored_.push_back({p.type->dump_number ? &entry.segments[next++] : nullptr, -1});
  } else if (entry.segments.empty()) {
    stored_.push_back({nullptr, static_cast<int>(entry.weights.size())});
  } else {
    for (const auto& s : entry.segments) stored_.push_back({&s, -1});
  }
}

// The state tells most dims. Of those it does not tell, all but the last are those of the table, the last takes the rest.
void RowAdapter::FindDims(const DumpedEntry& entry) {
  const int all = static_cast<int>(entry.weights.size());
  int known = 0;
  Stored* last = nullptr;
  for (Stored& s : stored_) {
    if (s.dim < 0 && s.segment) {
      for (size_t v = s.segment->first; v < s.segment->first + s.segment->count; ++v) {
        if (!entry.values[v].field->repeated) continue;
        const int count = static_cast<int>(entry.values[v].count);
        if (s.dim >= 0 && s.dim != count) throw BadRecord("the entry has optimizer state of two lengths in one segment");
        s.dim = count;
      }
      if (s.segment->kind && s.segment->kind->number == kBatchSoftmaxType.dump_number) s.dim = 1;
    }
    if (s.dim >= 0) known += s.dim;
    else last = &s;
  }
  for (size_t i = 0; i < stored_.size(); ++i) {
    Stored& s = stored_[i];
    if (s.dim >= 0 || &s == last) continue;
    s.dim = i < plan_.segments().size() ? plan_.segments()[i].dim : 0;
    known += s.dim;
  }
  if (known > all) throw BadRecord("the entry has " + std::to_string(all) + " weights but segments of " + std::to_string(known));
  if (last) last->dim = all - known;
  else if (known < all) stored_.push_back({nullptr, all - known});
}

const char* RowAdapter::Needed() const {
  const auto& plan = plan_.segments();
  const size_t both = std::min(plan.size(), stored_.size());
  bool pad = plan.size() > both, truncate = stored_.size() > both, reset = false;
  for (size_t i = 0; i < both; ++i) {
    pad |= plan[i].dim > stored_[i].dim;
    truncate |= plan[i].dim < stored_[i].dim;
    reset |= !plan_.serving() && NumberOf(stored_[i]) != plan[i].type->dump_number;
  }
  if (truncate && !options_.truncate) return "truncate";
  if (pad && !options_.pad) return "pad";
  if (reset && !options_.reset_state) return "reset-state";
  return nullptr;
}

void RowAdapter::CopyState(const DumpedEntry& entry, const Stored& stored, const SegmentPlan& p, float* floats) const {
  if (plan_.serving() || !stored.segment || NumberOf(stored) != p.type->dump_number) return;
  for (size_t v = stored.segment->first; v < stored.segment->first + stored.segment->count; ++v) {
    const DumpedEntry::Value& value = entry.values[v];
    for (const StateField& f : p.type->state) {
      if (f.number != value.field->number) continue;
      float* to = floats + p.state + f.Offset(p.dim);
      if (f.shape == StateField::kInt64) std::memcpy(to, &value.integer, sizeof value.integer);
      else std::copy_n(entry.state.begin() + static_cast<std::ptrdiff_t>(value.first), std::min<size_t>(value.count, size_t(f.Floats(p.dim))), to);
    }
  }
}

const char* RowAdapter::Adapt(const DumpedEntry& entry, float* floats) {
  FindSegments(entry);
  FindDims(entry);
  if (const char* mode = Needed()) return mode;
  if (plan_.serving()) std::fill_n(floats, plan_.row_floats(), 0.f);
  plan_.InitWeights(entry.key, floats);
  plan_.InitState(floats);
  const auto& plan = plan_.segments();
  changed_ = plan.size() != stored_.size();
  int first = 0;
  for (size_t i = 0; i < std::min(plan.size(), stored_.size()); ++i) {
    const Stored& s = stored_[i];
    changed_ |= s.dim != plan[i].dim || (!plan_.serving() && NumberOf(s) != plan[i].type->dump_number);
    std::copy_n(entry.weights.begin() + first, std::min(s.dim, plan[i].dim), floats + plan[i].weights);
    CopyState(entry, s, plan[i], floats);
    first += s.dim;
  }
  return nullptr;
}

}  // namespace monolith
