#include "core/tables/segment_growth.h"

#include <algorithm>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace monolith {
namespace {

// Quarters: each key is copied a third as often while a table grows as with halves.
constexpr int kSplitBits = 2;
// Rows are copied in the order of the index, which is none in memory: so many are on their way at once.
constexpr size_t kAhead = 8;

struct HashedRow {
  uint64_t hash;
  uint16_t id;  // in the rows it is copied from
  uint16_t to;  // and where the copy is
};

// In the order of the index, which is nearly that of the hashes.
std::vector<HashedRow> KeysOf(const Segment& segment) {
  std::vector<HashedRow> keys;
  keys.reserve(segment.rows().count.load(std::memory_order_relaxed));
  segment.ForEach([&](uint32_t group, int slot, RowId id) {
    keys.push_back({segment.HashAt(group, slot), static_cast<uint16_t>(id), 0});
  });
  return keys;
}

// Copies that are not used soon: whole lines go past the caches.
void CopyLines(char* to, const char* from, size_t bytes) {
#if defined(__AVX2__)
  if (bytes % 64 == 0) {
    for (size_t i = 0; i < bytes; i += 32)
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i), _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i)));
    return;
  }
#endif
  std::memcpy(to, from, bytes);
}

void FetchRow(const SegmentRows& rows, RowId id) {
  const char* row = rows.Row(id);
  for (size_t i = 0; i < std::min<size_t>(rows.layout().stride, 512); i += 64) __builtin_prefetch(row + i);
  __builtin_prefetch(rows.Timestamp(id));
}

void CopyRows(const SegmentRows& from, std::vector<HashedRow>* keys, SegmentRows* to) {
  for (size_t i = 0; i < keys->size(); ++i) {
    if (i + kAhead < keys->size()) FetchRow(from, (*keys)[i + kAhead].id);
    HashedRow& k = (*keys)[i];
    RowId id;
    to->Allocate(&id);
    k.to = static_cast<uint16_t>(id);
    CopyLines(to->Row(id), from.Row(k.id), from.layout().stride);
    *to->Timestamp(id) = *from.Timestamp(k.id);
    if (from.changed && to->changed && from.changed->Has(k.id)) to->changed->Insert(id);
  }
#if defined(__AVX2__)
  _mm_sfence();
#endif
  to->count.store(static_cast<uint32_t>(keys->size()), std::memory_order_relaxed);
}

// An index over `rows`, where the copies of `keys` are; nullptr when so many keys crowd in one place that none is large enough.
std::shared_ptr<Segment> Indexed(const std::vector<HashedRow>& keys, uint64_t prefix, int depth, const std::shared_ptr<SegmentRows>& rows) {
  const uint32_t step = Segment::ChunkStep(depth);
  for (uint32_t chunks = Segment::ChunksFor(keys.size() + keys.size() / 32, depth); chunks <= Segment::kMaxChunks; chunks += step) {
    auto segment = Segment::Make(prefix, depth, chunks, rows);
    const bool fits = segment->InsertAll([&](auto insert) {
      for (const HashedRow& k : keys) insert(k.hash, k.to);
    });
    if (fits) return segment;
  }
  return nullptr;
}

class Copier {
 public:
  Copier(const SegmentRows& from, bool track_changes) : from_(from), track_changes_(track_changes) {}

  // Appends the segments that hold copies of `keys`: one, or as many as it takes.
  void Copy(std::vector<HashedRow> keys, uint64_t prefix, int depth) {
    auto rows = std::make_shared<SegmentRows>(from_.layout());
    if (track_changes_) rows->TrackChanges();
    CopyRows(from_, &keys, rows.get());
    if (auto segment = Indexed(keys, prefix, depth, rows)) return segments.push_back(std::move(segment));
    rows.reset();
    Split(keys, prefix, depth, 1);
  }

  // The 2^bits parts of a segment's part of the hashes, each by itself.
  void Split(const std::vector<HashedRow>& keys, uint64_t prefix, int depth, int bits) {
    std::vector<std::vector<HashedRow>> parts(size_t{1} << bits);
    for (auto& part : parts) part.reserve((keys.size() >> bits) + keys.size() / 32);
    for (const HashedRow& k : keys) parts[k.hash << depth >> (64 - bits)].push_back(k);
    for (size_t i = 0; i < parts.size(); ++i) Copy(std::move(parts[i]), prefix | uint64_t{i} << (64 - depth - bits), depth + bits);
  }

  std::vector<std::shared_ptr<Segment>> segments;

 private:
  const SegmentRows& from_;
  const bool track_changes_;
};

std::vector<std::shared_ptr<Segment>> SplitSegment(const Segment& from, bool track_changes) {
  Copier copier(from.rows(), track_changes);
  copier.Split(KeysOf(from), from.prefix(), from.depth(), kSplitBits);
  return std::move(copier.segments);
}

}  // namespace

std::vector<std::shared_ptr<Segment>> CopySegment(const Segment& from, bool track_changes) {
  Copier copier(from.rows(), track_changes);
  copier.Copy(KeysOf(from), from.prefix(), from.depth());
  return std::move(copier.segments);
}

std::vector<std::shared_ptr<Segment>> GrowSegment(const Segment& segment, bool track_changes) {
  const SegmentRows& rows = segment.rows();
  const uint32_t step = Segment::ChunkStep(segment.depth());
  const uint32_t keys = rows.count.load(std::memory_order_relaxed);
  uint32_t chunks = Segment::ChunksFor(keys + keys * 3 / 10, segment.depth());
  // What erased keys left behind goes away by itself; otherwise the new index must be larger, whatever the reason for growing.
  if (keys > segment.used() / 8 * 7) chunks = std::max(chunks, segment.chunks() + step);
  chunks = rows.full() ? Segment::kMaxChunks + 1 : std::min(chunks, std::max(Segment::kMaxChunks, segment.chunks() + 1));
  for (; chunks <= Segment::kMaxChunks; chunks += step) {
    auto larger = Segment::Make(segment.prefix(), segment.depth(), chunks, segment.shared_rows());
    const bool fits = larger->InsertAll([&](auto insert) {
      segment.ForEach([&](uint32_t group, int slot, RowId id) { insert(segment.HashAt(group, slot), id); });
    });
    if (fits) return {larger};
  }
  return SplitSegment(segment, track_changes);
}

}  // namespace monolith
