// A part of the hash range with an index of its own over its rows; and the directory of all parts of a table.
//
// The table is cut by the top bits of the hash into segments; inside one, the group of a key grows with its hash, so that an index
// is rebuilt into a larger one by a sequential pass that needs no keys but those in it. A segment that holds as many rows as it
// may is split in four, and its rows are copied. Both happen while writers are held out, and are bounded: readers go on in what was
// there before.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/tables/key_group.h"
#include "core/tables/key_hash.h"
#include "core/tables/segment_rows.h"

namespace monolith {

class alignas(64) Segment {
 public:
  static constexpr uint32_t kChunkGroups = kChunkBytes / sizeof(KeyGroup);
  static constexpr uint32_t kMaxChunks = 12;

  // The part of the hashes that begin with the top `depth` bits of `prefix`, with an index of `chunks` chunks.
  Segment(uint64_t prefix, int depth, uint32_t chunks, std::shared_ptr<SegmentRows> rows);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  static void* operator new(size_t bytes) { return ChunkArena::AllocatePiece(bytes); }
  static void operator delete(void* p, size_t bytes) { ChunkArena::FreePiece(p, bytes); }

  // Not make_shared: a segment lies where all of them do.
  static std::shared_ptr<Segment> Make(uint64_t prefix, int depth, uint32_t chunks, std::shared_ptr<SegmentRows> rows) {
    return std::shared_ptr<Segment>(new Segment(prefix, depth, chunks, std::move(rows)));
  }

  // Chunks by which an index grows: one of a segment of few bits must have so many groups that a group implies the bits it does
  // not keep.
  static uint32_t ChunkStep(int depth);
  // The smallest index for so many keys; more than kMaxChunks when there is none.
  static uint32_t ChunksFor(size_t keys, int depth);
  // How many keys an index takes.
  static uint32_t Limit(uint32_t chunks) { return static_cast<uint32_t>(chunks * kChunkGroups * KeyGroup::kSlots * kMaxLoad); }

  // The group a key of this segment belongs to.
  uint32_t Home(uint64_t hash) const {
    return static_cast<uint32_t>(((hash << depth_ >> 32) * groups_) >> 32);
  }
  KeyGroup* Group(uint32_t number) const {
    return reinterpret_cast<KeyGroup*>(ChunkArena::At(chunks_[number / kChunkGroups])) + number % kChunkGroups;
  }
  // Where a key of group `home` stands after so many moves.
  uint32_t Moved(uint32_t home, unsigned moves) const {
    const uint32_t number = home + KeyGroup::kSteps[moves];
    return number < groups_ ? number : number - groups_;
  }
  uint32_t groups() const { return groups_; }
  uint32_t chunks() const { return num_chunks_; }
  int depth() const { return depth_; }
  uint64_t prefix() const { return prefix_; }
  uint32_t used() const { return used_.load(std::memory_order_relaxed); }
  // Time for a larger index: so many slots are in use, by keys or by what keys have left behind.
  bool crowded() const { return used() >= limit_; }

  const std::atomic<uint32_t>* runs() const { return runs_; }
  char* Row(RowId id) const { return layout_->Row(runs_, id); }
  uint32_t* Timestamp(RowId id) const { return layout_->Timestamp(runs_, id); }
  SegmentRows& rows() const { return *rows_; }
  const std::shared_ptr<SegmentRows>& shared_rows() const { return rows_; }

  // The hash of the key in a slot.
  uint64_t HashAt(uint32_t group, int slot) const {
    const KeyGroup& g = *Group(group);
    const uint64_t kept = g.KeptBits(slot);
    constexpr int kKept = 64 - KeyGroup::kImpliedBits;
    if (depth_ >= KeyGroup::kImpliedBits) return prefix_ >> kKept << kKept | kept;
    const uint32_t step = KeyGroup::kSteps[g.Moved(slot)];
    const uint32_t home = group >= step ? group - step : group + groups_ - step;
    const uint64_t cell = home * cell_inverse_ >> 32;  // home / (groups_ >> (kImpliedBits - depth_))
    return prefix_ | cell << kKept | kept;
  }

  // visit(group number, slot, id) for all keys that are there now.
  template <class Visit>
  void ForEach(Visit visit) const {
    for (uint32_t number = 0; number < groups_; ++number) {
      const KeyGroup* g = Group(number);
      for (unsigned used = g->meta.load(std::memory_order_acquire) & KeyGroup::kAllUsed; used; used &= used - 1) {
        const int slot = __builtin_ctz(used);
        if (const RowId id = g->Row(slot); id != kNoRow) visit(number, slot, id);
      }
    }
  }

  // Inserts a key that is not there; needs the insert lock of the rows, or no other thread about. False when there is no place.
  bool Insert(uint64_t hash, RowId id) {
    if (!Put(hash, id)) return false;
    used_.store(used() + 1, std::memory_order_relaxed);
    return true;
  }
  // Inserts what `each` calls its argument with, (hash, id) of keys that are not there, into an index that no other thread sees.
  // False when there was no place for one.
  template <class Each>
  bool InsertAll(Each each) {
    uint32_t n = used();
    bool fits = true;
    each([&](uint64_t hash, RowId id) {
      fits = fits && Put(hash, id);
      ++n;
    });
    used_.store(n, std::memory_order_relaxed);
    return fits;
  }

  size_t memory_bytes() const { return num_chunks_ * kChunkBytes + sizeof *this; }

 private:
  bool Put(uint64_t hash, RowId id) {
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
      return true;
    }
    return false;
  }
  void FreeChunks();

  static constexpr double kMaxLoad = 0.84;

  // One line of what every operation reads.
  const RowLayout* layout_;
  const std::atomic<uint32_t>* runs_;
  uint32_t groups_;
  uint8_t depth_, num_chunks_;
  uint32_t chunks_[kMaxChunks];

  uint64_t prefix_;
  uint32_t limit_;
  uint64_t cell_inverse_;
  std::atomic<uint32_t> used_{0};
  std::shared_ptr<SegmentRows> rows_;
};

// What threads see: immutable but for what is in the segments.
class Directory {
 public:
  explicit Directory(std::vector<std::shared_ptr<Segment>> segments);

  Segment* Of(uint64_t hash) const { return places_[hash >> 1 >> shift_]; }
  // In the order of their hashes.
  const std::vector<std::shared_ptr<Segment>>& segments() const { return segments_; }

 private:
  std::vector<std::shared_ptr<Segment>> segments_;
  std::vector<Segment*> places_;  // by the top bits of the hash; neighbours may be the same
  int shift_;
};

// A directory with room for so many keys.
Directory* NewDirectory(const RowLayout& layout, uint64_t keys);

}  // namespace monolith
