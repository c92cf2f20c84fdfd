#include "core/tables/segment.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace monolith {
namespace {

// An index of a segment of few bits must have so many groups that a group implies the bits it does not keep.
uint32_t ChunkStep(int depth) {
  const int bits = KeyGroup::kImpliedBits - depth;
  const uint32_t groups = bits > 0 ? 1u << bits : 1;
  return std::max<uint32_t>(1, groups / Segment::kChunkGroups);
}

void CopyRow(const SegmentRows& from, RowId id, SegmentRows* to, RowId new_id) {
  std::memcpy(to->Row(new_id), from.Row(id), from.layout().stride);
  *to->Timestamp(new_id) = *from.Timestamp(id);
  if (from.changed && to->changed && from.changed->Has(id)) to->changed->Insert(new_id);
}

// The hashes of a segment by row id; `there` says which ids have one.
std::vector<uint64_t> HashesById(const Segment& segment, IdSet* there) {
  std::vector<uint64_t> hashes(segment.rows().end_id());
  segment.ForEach([&](uint32_t group, int slot, RowId id) {
    hashes[id] = segment.HashAt(group, slot);
    there->Insert(id);
  });
  return hashes;
}

// Not make_shared: a segment lies where all of them do.
std::shared_ptr<Segment> NewSegment(uint64_t prefix, int depth, uint32_t chunks, std::shared_ptr<SegmentRows> rows) {
  return std::shared_ptr<Segment>(new Segment(prefix, depth, chunks, std::move(rows)));
}

std::shared_ptr<SegmentRows> NewRows(const RowLayout& layout, bool track_changes) {
  auto rows = std::make_shared<SegmentRows>(layout);
  if (track_changes) rows->TrackChanges();
  return rows;
}

}  // namespace

Segment::Segment(uint64_t prefix, int depth, uint32_t chunks, std::shared_ptr<SegmentRows> rows)
    : layout_(&rows->layout()),
      runs_(rows->runs()),
      groups_(chunks * kChunkGroups),
      depth_(static_cast<uint8_t>(depth)),
      num_chunks_(0),
      prefix_(prefix),
      limit_(Limit(chunks)),
      cell_inverse_((uint64_t{1} << 32) / std::max<uint32_t>(1, groups_ >> std::max(0, KeyGroup::kImpliedBits - depth)) + 1),
      rows_(std::move(rows)) {
  try {
    for (; num_chunks_ < chunks; ++num_chunks_) chunks_[num_chunks_] = ChunkArena::AllocateZeroed(ChunkArena::kIndex);
  } catch (...) {
    FreeChunks();
    throw;
  }
}

Segment::~Segment() { FreeChunks(); }

void Segment::FreeChunks() {
  for (uint32_t i = 0; i < num_chunks_; ++i) ChunkArena::Free(chunks_[i]);
}

uint32_t Segment::ChunksFor(size_t keys, int depth) {
  const uint32_t step = ChunkStep(depth);
  uint32_t chunks = step;
  while (chunks <= kMaxChunks && Limit(chunks) < keys) chunks += step;
  return chunks;
}

uint64_t Segment::HashAt(uint32_t group, int slot) const {
  const KeyGroup& g = *Group(group);
  const uint64_t kept = g.KeptBits(slot);
  constexpr int kKept = 64 - KeyGroup::kImpliedBits;
  const int bits = KeyGroup::kImpliedBits - depth_;
  if (bits <= 0) return prefix_ >> kKept << kKept | kept;
  const uint32_t step = KeyGroup::kSteps[g.Moved(slot)];
  const uint32_t home = group >= step ? group - step : group + groups_ - step;
  const uint64_t cell = home * cell_inverse_ >> 32;  // home / (groups_ >> bits)
  return prefix_ | cell << kKept | kept;
}

bool Segment::Insert(uint64_t hash, RowId id) {
  const uint32_t home = Home(hash);
  for (unsigned moved = 0; moved < KeyGroup::kMoves; ++moved) {
    KeyGroup* g = Group(Moved(home, moved));
    const uint8_t m = g->meta.load(std::memory_order_relaxed);
    const unsigned room = ~m & KeyGroup::kAllUsed;
    if (!room) {
      if (!(m & KeyGroup::kOverflow)) g->meta.store(m | KeyGroup::kOverflow, std::memory_order_release);
      continue;
    }
    const int slot = __builtin_ctz(room);
    g->Set(slot, hash, moved, id);
    g->meta.store(static_cast<uint8_t>(m | 1u << slot), std::memory_order_release);
    used_.store(used_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return true;
  }
  return false;
}

Directory::Directory(std::vector<std::shared_ptr<Segment>> segments) : segments_(std::move(segments)) {
  int depth = 0;
  for (const auto& s : segments_) depth = std::max(depth, s->depth());
  shift_ = 63 - depth;
  places_.reserve(size_t{1} << depth);
  for (const auto& s : segments_) places_.insert(places_.end(), size_t{1} << (depth - s->depth()), s.get());
}

Directory* NewDirectory(const RowLayout& layout, uint64_t keys) {
  // What a segment comes to hold varies a little around the mean.
  const uint64_t most = std::min<uint64_t>(layout.max_rows(), Segment::Limit(Segment::kMaxChunks)) * 15 / 16;
  int depth = 0;
  while (keys >> depth > most && depth < 24) ++depth;
  const size_t each = std::max<uint64_t>(1, (keys >> depth) + (keys >> depth) / 32);
  std::vector<std::shared_ptr<Segment>> segments;
  for (uint64_t i = 0; i < uint64_t{1} << depth; ++i)
    segments.push_back(NewSegment(depth ? i << (64 - depth) : 0, depth,
                                                 std::min(Segment::kMaxChunks, Segment::ChunksFor(each, depth)),
                                                 std::make_shared<SegmentRows>(layout)));
  return new Directory(std::move(segments));
}

namespace {

struct HashedRow {
  uint64_t hash;
  uint16_t id;  // in the rows it is copied from
  uint16_t to;  // and where the copy is
};

// An index over `rows`, where the copies of `keys` are; nullptr when so many keys crowd in one place that none is large enough.
std::shared_ptr<Segment> Indexed(const std::vector<HashedRow>& keys, uint64_t prefix, int depth, const std::shared_ptr<SegmentRows>& rows) {
  for (uint32_t chunks = Segment::ChunksFor(keys.size() + keys.size() / 32, depth); chunks <= Segment::kMaxChunks; chunks += ChunkStep(depth)) {
    auto segment = NewSegment(prefix, depth, chunks, rows);
    if (std::all_of(keys.begin(), keys.end(), [&](const HashedRow& k) { return segment->Insert(k.hash, k.to); })) return segment;
  }
  return nullptr;
}

void CopyKeys(const SegmentRows& from, std::vector<HashedRow> keys, uint64_t prefix, int depth, bool track_changes,
              std::vector<std::shared_ptr<Segment>>* to);

// The two halves of a segment's part of the hashes, each by itself.
void SplitKeys(const SegmentRows& from, const std::vector<HashedRow>& keys, uint64_t prefix, int depth, bool track_changes,
               std::vector<std::shared_ptr<Segment>>* to) {
  for (uint64_t half : {0, 1}) {
    const auto here = [&](const HashedRow& k) { return k.hash << depth >> 63 == half; };
    std::vector<HashedRow> part;
    part.reserve(static_cast<size_t>(std::count_if(keys.begin(), keys.end(), here)));
    std::copy_if(keys.begin(), keys.end(), std::back_inserter(part), here);
    CopyKeys(from, std::move(part), prefix | half << (63 - depth), depth + 1, track_changes, to);
  }
}

// Appends the segments that hold copies of `keys`: one, or as many as it takes.
void CopyKeys(const SegmentRows& from, std::vector<HashedRow> keys, uint64_t prefix, int depth, bool track_changes,
              std::vector<std::shared_ptr<Segment>>* to) {
  auto rows = NewRows(from.layout(), track_changes);
  for (HashedRow& k : keys) {
    RowId id;
    rows->Allocate(&id);
    CopyRow(from, k.id, rows.get(), id);
    k.to = static_cast<uint16_t>(id);
  }
  rows->count.store(static_cast<uint32_t>(keys.size()), std::memory_order_relaxed);
  if (auto segment = Indexed(keys, prefix, depth, rows)) return to->push_back(std::move(segment));
  rows.reset();
  SplitKeys(from, keys, prefix, depth, track_changes, to);
}

}  // namespace

std::vector<std::shared_ptr<Segment>> CopySegment(const Segment& from, int parts, bool track_changes) {
  IdSet there(from.rows().end_id() + 1);
  const std::vector<uint64_t> hashes = HashesById(from, &there);
  std::vector<HashedRow> keys;
  keys.reserve(from.rows().count.load(std::memory_order_relaxed));
  for (RowId id = 0; id < hashes.size(); ++id)
    if (there.Has(id)) keys.push_back({hashes[id], static_cast<uint16_t>(id), 0});
  std::vector<std::shared_ptr<Segment>> to;
  if (parts == 2) SplitKeys(from.rows(), keys, from.prefix(), from.depth(), track_changes, &to);
  else CopyKeys(from.rows(), std::move(keys), from.prefix(), from.depth(), track_changes, &to);
  return to;
}

std::vector<std::shared_ptr<Segment>> GrowSegment(const Segment& segment, bool track_changes) {
  const SegmentRows& rows = segment.rows();
  const uint32_t keys = rows.count.load(std::memory_order_relaxed);
  uint32_t chunks = Segment::ChunksFor(keys + keys * 2 / 5, segment.depth());
  // What erased keys left behind goes away by itself; otherwise the new index must be larger, whatever the reason for growing.
  if (keys > segment.used() / 8 * 7) chunks = std::max(chunks, segment.chunks() + ChunkStep(segment.depth()));
  chunks = rows.full() ? Segment::kMaxChunks + 1 : std::min(chunks, std::max(Segment::kMaxChunks, segment.chunks() + 1));
  for (; chunks <= Segment::kMaxChunks; chunks += ChunkStep(segment.depth())) {
    auto larger = NewSegment(segment.prefix(), segment.depth(), chunks, segment.shared_rows());
    bool fits = true;
    segment.ForEach([&](uint32_t group, int slot, RowId id) { fits = fits && larger->Insert(segment.HashAt(group, slot), id); });
    if (fits) return {larger};
  }
  return CopySegment(segment, 2, track_changes);
}

}  // namespace monolith
