#include "core/tables/hash_index.h"

#include <sched.h>

#include <algorithm>
#include <cstring>

#include "core/tables/row_store.h"

namespace monolith {
namespace {

constexpr double kMaxLoad = 0.90;
constexpr size_t kPageGroups = kHugePage / sizeof(Group);
constexpr size_t kSmallGroups = 2 * kPageGroups;  // up to here arrays live on ordinary pages
constexpr size_t kDoublingGroups = 1024;          // up to here they double

size_t TailOf(size_t total) { return total > 1024 ? Segment::kTail : Segment::kSmallTail; }

// How many groups the array after one of `total` has.
size_t NextTotal(size_t total) {
  if (total < kDoublingGroups) return total * 2;
  if (total < kSmallGroups) return std::min(kSmallGroups, total + total / 4 / 64 * 64);
  const size_t pages = total / kPageGroups;
  return (pages + std::max<size_t>(1, pages / 5)) * kPageGroups;
}

void MoveKeys(const Segment& from, int shift, const std::vector<Segment*>& to, bool* fits) {
  for (const Group* g = from.groups(); g != from.end(); ++g) {
    const uint32_t used = g->meta.load(std::memory_order_relaxed) & Meta::kCount;
    for (uint32_t i = 0; i < used; ++i) {
      const uint64_t h = HashKey(g->keys[i]) << shift;
      Segment* s = to[to.size() == 1 ? 0 : h >> 63];
      const uint64_t rest = to.size() == 1 ? h : h << 1;
      Group* home = s->groups() + (((rest >> 32) * s->homes()) >> 32);
      if (!s->InsertUnshared(home, g->keys[i], g->rows[i])) {
        *fits = false;
        return;
      }
    }
  }
  *fits = true;
}

}  // namespace

void YieldCpu() { sched_yield(); }

Segment::Segment(size_t total) : total_(total), bytes_(total * sizeof(Group)) {
  homes_ = total_ - TailOf(total_);
  limit_ = static_cast<size_t>(static_cast<double>(homes_ * Group::kSlots) * kMaxLoad);
  groups_ = static_cast<Group*>(MapMemory(bytes_, bytes_ >= 2 * kHugePage));
}

Segment::~Segment() { UnmapMemory(groups_, bytes_); }

bool Segment::InsertUnshared(Group* home, int64_t key, uint32_t row) {
  for (Group* g = home; g != end(); ++g) {
    const uint32_t m = g->meta.load(std::memory_order_relaxed);
    const uint32_t used = m & Meta::kCount;
    if (used == Group::kSlots) {
      g->meta.store(m | Meta::kOverflow, std::memory_order_relaxed);
      continue;
    }
    g->keys[used] = key;
    g->rows[used] = row;
    g->meta.store(m + 1, std::memory_order_relaxed);
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return true;
  }
  return false;
}

View::View(std::vector<std::shared_ptr<Segment>> segments, std::vector<uint8_t> depths, int depth)
    : depth_(depth), shift_(63 - depth), segments_(std::move(segments)) {
  for (size_t i = 0; i < segments_.size(); ++i)
    entries_.push_back({segments_[i]->groups(), static_cast<uint32_t>(segments_[i]->homes()), depths[i]});
}

std::shared_ptr<View> NewView(uint64_t capacity) {
  const double need = static_cast<double>(std::min<uint64_t>(capacity, uint64_t{1} << 32)) / (Group::kSlots * kMaxLoad) + 1;
  int depth = 0;
  while (need / static_cast<double>(size_t{1} << depth) * sizeof(Group) > Segment::kMaxBytes) ++depth;
  const size_t want = static_cast<size_t>(need / static_cast<double>(size_t{1} << depth) * (depth ? 1.01 : 1.0));
  size_t total = 16;
  while (total - TailOf(total) < want) total = NextTotal(total);
  std::vector<std::shared_ptr<Segment>> segments;
  for (size_t i = 0; i < size_t{1} << depth; ++i) segments.push_back(std::make_shared<Segment>(total));
  return std::make_shared<View>(std::move(segments), std::vector<uint8_t>(size_t{1} << depth, static_cast<uint8_t>(depth)), depth);
}

std::shared_ptr<View> GrowView(const View& old, size_t entry) {
  const std::shared_ptr<Segment> segment = old.segments()[entry];
  const int local = old.depth_of(entry);
  for (size_t total = NextTotal(segment->total());; total = NextTotal(total)) {
    const bool split = total * sizeof(Group) > Segment::kMaxBytes;
    std::vector<std::shared_ptr<Segment>> parts;
    const size_t half = (total / 2 + kPageGroups - 1) / kPageGroups * kPageGroups;
    for (int i = 0; i < (split ? 2 : 1); ++i) parts.push_back(std::make_shared<Segment>(split ? half : total));
    std::vector<Segment*> to;
    for (const auto& p : parts) to.push_back(p.get());
    bool fits = false;
    MoveKeys(*segment, local, to, &fits);
    if (!fits) continue;

    const int depth = std::max(old.depth(), local + (split ? 1 : 0));
    const int finer = depth - old.depth();
    std::vector<std::shared_ptr<Segment>> segments(size_t{1} << depth);
    std::vector<uint8_t> depths(segments.size());
    for (size_t i = 0; i < segments.size(); ++i) {
      const size_t was = i >> finer;
      segments[i] = old.segments()[was];
      depths[i] = static_cast<uint8_t>(old.depth_of(was));
      if (segments[i] != segment) continue;
      segments[i] = split ? parts[i >> (depth - local - 1) & 1] : parts[0];
      depths[i] = static_cast<uint8_t>(local + (split ? 1 : 0));
    }
    return std::make_shared<View>(std::move(segments), std::move(depths), depth);
  }
}

}  // namespace monolith
