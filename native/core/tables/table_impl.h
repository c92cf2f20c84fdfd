// What stands behind EmbeddingTable: the current view of the index, the rows, and who is inside.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "core/tables/hash_index.h"
#include "core/tables/optimizer.h"
#include "core/tables/row_store.h"
#include "core/tables/table.h"

namespace monolith {

// A view together with the rows it points into. Readers hold it by being counted, not by reference.
struct State {
  std::shared_ptr<View> view;
  std::shared_ptr<RowStore> rows;
};

struct EmbeddingTable::Impl {
  explicit Impl(const TableConfig& config);
  ~Impl();

  static constexpr unsigned kLanes = 16;  // threads spread over these to count themselves without contention
  struct alignas(64) Lane {
    std::atomic<uint32_t> writers{0};
    std::atomic<uint32_t> readers[2] = {{0}, {0}};  // by parity of the epoch they came in
  };

  const TableConfig config;
  const RowPlan plan;
  std::atomic<State*> state;
  std::atomic<uint32_t> max_update_ts{0};

  // --- writers: counted, and held out while the index grows or is saved
  std::atomic<bool> frozen{false};
  std::mutex freeze_mutex;
  Lane lanes[kLanes];

  // --- memory that readers may still look at
  std::atomic<uint32_t> epoch{0};
  std::mutex retire_mutex;
  std::vector<State*> retired, waiting;  // `waiting` is freed when two changes of the epoch have been seen through
  int waiting_stage = 0;
  std::atomic<bool> has_retired{false};

  static unsigned ThisLane();
  void FreezeWriters();
  void ThawWriters();
  // With writers frozen: makes `next` current and frees the old state once no reader is left in it.
  void Publish(State* next);
  void Reclaim();
  // With no writer section open in this thread: makes room in the segment of `hash`, unless somebody did meanwhile.
  void Grow(const State* seen, uint64_t hash);

  class ReadSection {
   public:
    explicit ReadSection(Impl& impl) : impl_(impl) {
      const uint32_t e = impl.epoch.load(std::memory_order_seq_cst);
      count_ = &impl.lanes[ThisLane()].readers[e & 1];
      count_->fetch_add(1, std::memory_order_seq_cst);
    }
    ~ReadSection() {
      count_->fetch_sub(1, std::memory_order_release);
      if (impl_.has_retired.load(std::memory_order_relaxed)) impl_.Reclaim();
    }
    const State& state() const { return *impl_.state.load(std::memory_order_seq_cst); }

   private:
    Impl& impl_;
    std::atomic<uint32_t>* count_;
  };

  class WriteSection {
   public:
    explicit WriteSection(Impl& impl) : count_(impl.lanes[ThisLane()].writers) {
      for (;;) {
        count_.fetch_add(1, std::memory_order_seq_cst);
        if (!impl.frozen.load(std::memory_order_seq_cst)) return;
        count_.fetch_sub(1, std::memory_order_release);
        std::lock_guard<std::mutex> wait(impl.freeze_mutex);
      }
    }
    ~WriteSection() { count_.fetch_sub(1, std::memory_order_release); }

   private:
    std::atomic<uint32_t>& count_;
  };
};

}  // namespace monolith
