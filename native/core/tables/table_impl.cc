#include "core/tables/table_impl.h"

namespace monolith {

EmbeddingTable::Impl::Impl(const TableConfig& c)
    : config(c), plan(c), state(new State{NewView(c.initial_capacity), std::make_shared<RowStore>(plan.row_bytes())}) {}

EmbeddingTable::Impl::~Impl() {
  for (State* s : retired) delete s;
  for (State* s : waiting) delete s;
  delete state.load();
}

unsigned EmbeddingTable::Impl::ThisLane() {
  static std::atomic<unsigned> next{0};
  thread_local const unsigned lane = next.fetch_add(1, std::memory_order_relaxed) % kLanes;
  return lane;
}

void EmbeddingTable::Impl::FreezeWriters() {
  freeze_mutex.lock();
  frozen.store(true, std::memory_order_seq_cst);
  for (Lane& lane : lanes)
    for (unsigned spins = 0; lane.writers.load(std::memory_order_seq_cst) != 0; ++spins) spins < 64 ? Pause() : YieldCpu();
}

void EmbeddingTable::Impl::ThawWriters() {
  frozen.store(false, std::memory_order_seq_cst);
  freeze_mutex.unlock();
}

void EmbeddingTable::Impl::Publish(State* next) {
  State* old = state.exchange(next, std::memory_order_seq_cst);
  {
    std::lock_guard<std::mutex> lock(retire_mutex);
    retired.push_back(old);
    has_retired.store(true, std::memory_order_relaxed);
  }
  Reclaim();
}

// Never blocks: what cannot be freed yet is freed by a later call. The epoch changes twice because a reader may have read
// its parity before a change and counted itself after it.
void EmbeddingTable::Impl::Reclaim() {
  std::unique_lock<std::mutex> lock(retire_mutex, std::try_to_lock);
  if (!lock.owns_lock()) return;
  for (;;) {
    if (waiting.empty()) {
      if (retired.empty()) {
        has_retired.store(false, std::memory_order_relaxed);
        return;
      }
      waiting.swap(retired);
      waiting_stage = 0;
      epoch.fetch_add(1, std::memory_order_seq_cst);
    }
    const unsigned left = (epoch.load(std::memory_order_seq_cst) - 1) & 1;
    for (Lane& lane : lanes)
      if (lane.readers[left].load(std::memory_order_seq_cst) != 0) return;
    if (waiting_stage++ == 0) {
      epoch.fetch_add(1, std::memory_order_seq_cst);
      continue;
    }
    for (State* s : waiting) delete s;
    waiting.clear();
  }
}

void EmbeddingTable::Impl::Grow(const State* seen, uint64_t hash) {
  struct Frozen {
    explicit Frozen(Impl* i) : impl(i) { impl->FreezeWriters(); }
    ~Frozen() { impl->ThawWriters(); }
    Impl* impl;
  } frozen_here(this);
  State* current = state.load(std::memory_order_seq_cst);
  if (current != seen) return;
  const View& view = *current->view;
  Publish(new State{GrowView(view, view.EntryOf(hash)), current->rows});
}

}  // namespace monolith
