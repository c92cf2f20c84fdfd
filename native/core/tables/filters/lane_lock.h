// A lock for work that many do at once and few do alone: those who share count themselves in lanes of their own.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "core/tables/pause.h"

namespace monolith {

class LaneLock {
 public:
  class Shared {
   public:
    explicit Shared(LaneLock& lock) : inside_(lock.lanes_[ThisLane()].inside) {
      for (;;) {
        inside_.fetch_add(1, std::memory_order_seq_cst);
        if (!lock.closed_.load(std::memory_order_seq_cst)) return;
        inside_.fetch_sub(1, std::memory_order_release);
        std::lock_guard<std::mutex> wait(lock.mutex_);
      }
    }
    ~Shared() { inside_.fetch_sub(1, std::memory_order_release); }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;

   private:
    std::atomic<uint32_t>& inside_;
  };

  class Alone {
   public:
    explicit Alone(LaneLock& lock) : lock_(lock) {
      lock.mutex_.lock();
      lock.closed_.store(true, std::memory_order_seq_cst);
      for (Lane& lane : lock.lanes_)
        for (unsigned spins = 0; lane.inside.load(std::memory_order_seq_cst) != 0; ++spins) spins < 64 ? Pause() : YieldCpu();
    }
    ~Alone() {
      lock_.closed_.store(false, std::memory_order_seq_cst);
      lock_.mutex_.unlock();
    }
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;

   private:
    LaneLock& lock_;
  };

 private:
  static constexpr unsigned kLanes = 16;
  struct alignas(64) Lane {
    std::atomic<uint32_t> inside{0};
  };
  static unsigned ThisLane() {
    static std::atomic<unsigned> next{0};
    thread_local const unsigned lane = next.fetch_add(1, std::memory_order_relaxed) % kLanes;
    return lane;
  }

  std::mutex mutex_;
  std::atomic<bool> closed_{false};
  Lane lanes_[kLanes];
};

}  // namespace monolith
