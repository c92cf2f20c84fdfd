#include "core/tables/segment.h"

#include <algorithm>

namespace monolith {

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

uint32_t Segment::ChunkStep(int depth) {
  const int bits = KeyGroup::kImpliedBits - depth;
  const uint32_t groups = bits > 0 ? 1u << bits : 1;
  return std::max<uint32_t>(1, groups / kChunkGroups);
}

uint32_t Segment::ChunksFor(size_t keys, int depth) {
  const uint32_t step = ChunkStep(depth);
  uint32_t chunks = step;
  while (chunks <= kMaxChunks && Limit(chunks) < keys) chunks += step;
  return chunks;
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
    segments.push_back(Segment::Make(depth ? i << (64 - depth) : 0, depth,
                                     std::min(Segment::kMaxChunks, Segment::ChunksFor(each, depth)),
                                     std::make_shared<SegmentRows>(layout)));
  return new Directory(std::move(segments));
}

}  // namespace monolith
