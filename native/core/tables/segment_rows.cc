#include "core/tables/segment_rows.h"

#include <algorithm>
#include <string>

#include "core/base/error.h"

namespace monolith {
namespace {

constexpr size_t kMaxIds = size_t{1} << 16;
constexpr size_t kMaxSegmentBytes = size_t{16} << 20;

// Rows start on the largest power of two that costs at most 2 % of padding, so that they touch few cache lines.
size_t Stride(size_t bytes) {
  for (size_t a : {64, 32, 16, 8, 4}) {
    const size_t padded = (bytes + a - 1) / a * a;
    if ((padded - bytes) * 50 <= bytes) return padded;
  }
  return (bytes + 3) / 4 * 4;
}

}  // namespace

RowLayout::RowLayout(size_t row_bytes) : stride(Stride(std::max<size_t>(row_bytes, 1))) {
  const size_t record = stride + sizeof(uint32_t);
  // At most 2 % of a run may be left over behind its last row.
  for (run = 1; run < 1024 && run * kChunkBytes % record * 50 > run * kChunkBytes; run *= 2) {
  }
  run_bytes = run * kChunkBytes;
  if (record > run_bytes)
    throw Error(ErrorCode::kConfig, "a row of " + std::to_string(row_bytes) + " bytes is too long for an embedding table: at most " +
                                        std::to_string(run_bytes - sizeof(uint32_t)));
  rows_per_run = static_cast<uint32_t>(std::min(run_bytes / record, kMaxIds / 2));
  for (shift = 2; (1u << shift) < rows_per_run;) ++shift;
  mask = (1u << shift) - 1;
  max_runs = static_cast<uint32_t>(std::min(kMaxIds >> shift, std::max<size_t>(2, kMaxSegmentBytes / run_bytes)));
  if (size_t{max_runs} << shift == kMaxIds && rows_per_run == mask + 1) --max_runs;  // the last id is kNoRow
}

SegmentRows::SegmentRows(const RowLayout& layout)
    : layout_(layout), runs_(static_cast<std::atomic<uint32_t>*>(ChunkArena::AllocatePiece(runs_bytes()))) {}

SegmentRows::~SegmentRows() {
  for (uint32_t i = 0; i < num_runs_; ++i) ChunkArena::Free(runs_[i], layout_.run);
  ChunkArena::FreePiece(runs_, runs_bytes());
}

size_t SegmentRows::runs_bytes() const { return (kMaxIds >> layout_.shift) * sizeof(uint32_t); }

void SegmentRows::Lock() {
  for (unsigned spins = 0; insert_lock_.exchange(true, std::memory_order_acquire); ++spins)
    spins < 64 ? Pause() : YieldCpu();
}

bool SegmentRows::Allocate(RowId* id) {
  if (!free_.empty()) {
    *id = free_.back();
    free_.pop_back();
    SetNextRow();
    return true;
  }
  const RowId next = end_id();
  const uint32_t run = next >> layout_.shift;
  if (run == layout_.max_runs) return false;
  if (run == num_runs_) {
    runs_[run].store(ChunkArena::Allocate(ChunkArena::kRows, layout_.run), std::memory_order_release);
    num_runs_.store(run + 1, std::memory_order_release);
  }
  *id = next;
  const bool last = ((next + 1) & layout_.mask) == layout_.rows_per_run;
  next_.store(last ? (run + 1) << layout_.shift : next + 1, std::memory_order_relaxed);
  SetNextRow();
  return true;
}

void SegmentRows::TrackChanges() { changed = std::make_unique<IdSet>(layout_.max_ids()); }

void SegmentRows::SetNextRow() {
  char* row = nullptr;
  if (!free_.empty()) row = Row(free_.back());
  else if (end_id() >> layout_.shift < num_runs_) row = Row(end_id());
  next_row_.store(row, std::memory_order_relaxed);
}

size_t SegmentRows::memory_bytes() const {
  return num_runs_.load(std::memory_order_acquire) * layout_.run_bytes + runs_bytes() + sizeof *this;
}

}  // namespace monolith
