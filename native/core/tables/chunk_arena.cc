#include "core/tables/chunk_arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace monolith {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
// The first tables of a process lie on ordinary pages: a table of a few rows must not cost huge ones.
constexpr size_t kSmallPages = 2 * kHugePage;
constexpr int kRuns = 16;  // runs of 2^0 .. 2^15 chunks

struct Part {
  size_t first = 0, end = 0;  // chunks
  size_t next = 0;            // first that was never given out
  size_t in_use = 0, idle = 0;
  // Free runs by the logarithm of their length. `released` ones have no memory behind them at the moment.
  std::vector<uint32_t> free[kRuns], released[kRuns];
};

struct Arena {
  std::mutex mutex;
  char* base = nullptr;
  Part parts[2];
  size_t budget = 0;  // chunks; 0: none

  // With memory behind them.
  size_t resident() const { return parts[0].in_use + parts[0].idle + parts[1].in_use + parts[1].idle; }
};

Arena& TheArena() {
  static Arena* arena = new Arena;  // outlives every table
  return *arena;
}

// Address space for far more than there is memory; pages come when they are touched.
void Reserve(Arena* a) {
  const size_t memory = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
  for (size_t bytes = std::max<size_t>(memory * 4, size_t{64} << 30); bytes >= size_t{64} << 20; bytes /= 2) {
    void* m = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) continue;
    char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(m) + kHugePage - 1) & ~(kHugePage - 1));
    a->base = aligned;
    const size_t chunks = std::min<size_t>((bytes - static_cast<size_t>(aligned - static_cast<char*>(m))) / kChunkBytes, 0xffffffff);
    const size_t rows = chunks / 4 * 3 / (kHugePage / kChunkBytes) * (kHugePage / kChunkBytes);
    a->parts[ChunkArena::kRows] = {0, rows, 0, 0, 0, {}, {}};
    a->parts[ChunkArena::kIndex] = {rows, chunks, rows, 0, 0, {}, {}};
    for (const Part& p : a->parts) {
      const size_t begin = p.first * kChunkBytes + kSmallPages;
      madvise(aligned + begin, p.end * kChunkBytes - begin, MADV_HUGEPAGE);
    }
    return;
  }
  throw Error(ErrorCode::kUnavailable, "cannot reserve address space for embedding tables: is there a limit on it (ulimit -v)?");
}

int LogOf(uint32_t run) { return __builtin_ctz(run); }

char* AddressOf(const Arena& a, uint32_t chunk) { return a.base + size_t{chunk} * kChunkBytes; }

// Gives the memory of idle chunks back until `chunks` more are within the budget, or throws.
void MakeRoom(Arena* a, size_t chunks) {
  const auto too_much = [&] { return a->budget && a->resident() + chunks > a->budget; };
  for (Part& p : a->parts) {
    for (int log = kRuns; log-- > 0;) {
      for (; too_much() && !p.free[log].empty(); p.free[log].pop_back()) {
        const uint32_t chunk = p.free[log].back();
        madvise(AddressOf(*a, chunk), kChunkBytes << log, MADV_DONTNEED);
        p.released[log].push_back(chunk);
        p.idle -= size_t{1} << log;
      }
    }
  }
  if (too_much())
    throw Error(ErrorCode::kUnavailable, "embedding tables need more than the " + std::to_string(a->budget * kChunkBytes >> 20) +
                                             " MiB of memory they may take: raise the limit, let ids expire, or keep rare ones out");
}

}  // namespace

char* ChunkArena::base_ = nullptr;

uint32_t ChunkArena::Take(Region region, uint32_t run, bool* zeros) {
  Arena& arena = TheArena();
  std::lock_guard<std::mutex> lock(arena.mutex);
  if (!arena.base) {
    Reserve(&arena);
    base_ = arena.base;
  }
  Part& a = arena.parts[region];
  uint32_t chunk;
  *zeros = true;
  if (auto& free = a.free[LogOf(run)]; !free.empty()) {
    chunk = free.back();
    free.pop_back();
    a.idle -= run;
    a.in_use += run;
    *zeros = false;
    return chunk;
  }
  MakeRoom(&arena, run);
  if (auto& released = a.released[LogOf(run)]; !released.empty()) {
    chunk = released.back();
    released.pop_back();
  } else {
    if (a.next + run > a.end)
      throw Error(ErrorCode::kUnavailable, "embedding tables have used up their address space of " +
                                               std::to_string((a.end - a.first) * kChunkBytes >> 30) + " GiB");
    chunk = static_cast<uint32_t>(a.next);
    a.next += run;
  }
  a.in_use += run;
  return chunk;
}

void ChunkArena::SetBudget(size_t bytes) {
  Arena& arena = TheArena();
  std::lock_guard<std::mutex> lock(arena.mutex);
  arena.budget = (bytes + kChunkBytes - 1) / kChunkBytes;
}

size_t ChunkArena::memory_bytes() {
  Arena& arena = TheArena();
  std::lock_guard<std::mutex> lock(arena.mutex);
  return arena.resident() * kChunkBytes;
}

uint32_t ChunkArena::Allocate(Region region, uint32_t run) {
  bool zeros;
  return Take(region, run, &zeros);
}

uint32_t ChunkArena::AllocateZeroed(Region region) {
  bool zeros;
  const uint32_t chunk = Take(region, 1, &zeros);
  if (!zeros) std::memset(At(chunk), 0, kChunkBytes);
  return chunk;
}

void ChunkArena::Free(uint32_t chunk, uint32_t run) {
  Arena& arena = TheArena();
  std::lock_guard<std::mutex> lock(arena.mutex);
  Part& a = arena.parts[chunk >= arena.parts[kIndex].first ? kIndex : kRows];
  a.in_use -= run;
  // Some memory is kept for what comes next; the rest goes back.
  const size_t keep = std::max<size_t>((size_t{64} << 20) / kChunkBytes, a.in_use / 32);
  if (a.idle + run > keep && (chunk - a.first) * kChunkBytes >= kSmallPages) {
    madvise(At(chunk), size_t{run} * kChunkBytes, MADV_DONTNEED);
    a.released[LogOf(run)].push_back(chunk);
    return;
  }
  a.free[LogOf(run)].push_back(chunk);
  a.idle += run;
}

namespace {

// Free pieces of 64, 128, … bytes.
struct Pieces {
  static constexpr int kSizes = 11;
  std::mutex mutex;
  std::vector<char*> free[kSizes];

  static int SizeOf(size_t bytes) {
    int size = 0;
    while ((size_t{64} << size) < bytes) ++size;
    return size;
  }
};

Pieces& ThePieces() {
  static Pieces* pieces = new Pieces;
  return *pieces;
}

}  // namespace

void* ChunkArena::AllocatePiece(size_t bytes) {
  Pieces& p = ThePieces();
  const int size = Pieces::SizeOf(bytes);
  std::lock_guard<std::mutex> lock(p.mutex);
  auto& free = p.free[size];
  if (free.empty()) {
    const uint32_t number = Allocate(kIndex);
    char* chunk = At(number);
    const size_t each = size_t{64} << size;
    for (size_t i = kChunkBytes / each; i-- > 0;) free.push_back(chunk + i * each);
  }
  char* piece = free.back();
  free.pop_back();
  std::memset(piece, 0, bytes);
  return piece;
}

void ChunkArena::FreePiece(void* piece, size_t bytes) {
  Pieces& p = ThePieces();
  std::lock_guard<std::mutex> lock(p.mutex);
  p.free[Pieces::SizeOf(bytes)].push_back(static_cast<char*>(piece));
}

}  // namespace monolith
