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

using HashedRows = std::vector<HashedRow>;

// The 2^bits parts of the range of hashes of a segment of `depth` bits, and room for the keys of each.
class HashParts {
 public:
  HashParts(int depth, int bits, size_t keys) : depth_(depth), bits_(bits), parts_(size_t{1} << bits) {
    for (HashedRows& part : parts_) part.reserve((keys >> bits) + (bits ? keys / 64 : 0));
  }
  void Add(const HashedRow& key) { parts_[bits_ ? key.hash << depth_ >> (64 - bits_) : 0].push_back(key); }
  // In the order of the index, which is nearly that of the hashes.
  void AddAll(const Segment& segment) {
    segment.ForEach([&](uint32_t group, int slot, RowId id) { Add({segment.HashAt(group, slot), static_cast<uint16_t>(id), 0}); });
  }

  int depth() const { return depth_ + bits_; }
  uint64_t Prefix(uint64_t whole, size_t part) const { return whole | (bits_ ? uint64_t{part} << (64 - depth()) : 0); }
  size_t size() const { return parts_.size(); }
  HashedRows& operator[](size_t part) { return parts_[part]; }

 private:
  int depth_, bits_;
  std::vector<HashedRows> parts_;
};

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

void CopyRows(const SegmentRows& from, HashedRows* keys, SegmentRows* to) {
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
std::shared_ptr<Segment> Indexed(const HashedRows& keys, uint64_t prefix, int depth, const std::shared_ptr<SegmentRows>& rows) {
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

  // Appends the segments that hold copies of the rows of `keys`, one part after the other.
  void Copy(HashParts keys, uint64_t prefix) {
    for (size_t part = 0; part < keys.size(); ++part) CopyPart(&keys[part], keys.Prefix(prefix, part), keys.depth());
  }

  std::vector<std::shared_ptr<Segment>> segments;

 private:
  // One segment, or as many as it takes.
  void CopyPart(HashedRows* keys, uint64_t prefix, int depth) {
    auto rows = std::make_shared<SegmentRows>(from_.layout());
    if (track_changes_) rows->TrackChanges();
    CopyRows(from_, keys, rows.get());
    auto segment = Indexed(*keys, prefix, depth, rows);
    if (segment) {
      segments.push_back(std::move(segment));
    } else {
      rows.reset();
      HashParts halves(depth, 1, keys->size());
      for (const HashedRow& k : *keys) halves.Add(k);
      Copy(std::move(halves), prefix);
    }
    HashedRows().swap(*keys);
  }

  const SegmentRows& from_;
  const bool track_changes_;
};

// Copies a segment in 2^bits parts.
std::vector<std::shared_ptr<Segment>> CopyInParts(const Segment& from, int bits, bool track_changes) {
  HashParts keys(from.depth(), bits, from.rows().count.load(std::memory_order_relaxed));
  keys.AddAll(from);
  Copier copier(from.rows(), track_changes);
  copier.Copy(std::move(keys), from.prefix());
  return std::move(copier.segments);
}

}  // namespace

std::vector<std::shared_ptr<Segment>> CopySegment(const Segment& from, bool track_changes) {
  return CopyInParts(from, 0, track_changes);
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
  return CopyInParts(segment, kSplitBits, track_changes);
}

}  // namespace monolith
