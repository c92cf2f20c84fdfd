// Evicts from tables every so many hours, on a thread of its own (spec 30, 6.3).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace monolith {

class BackgroundEviction {
 public:
  struct Job {
    int64_t every_seconds;        // above 0
    std::function<void()> evict;  // what it throws is written to stderr; the next turn tries again
    int64_t last = 0;             // unix seconds; 0: not begun
  };
  // now: unix seconds; for tests. The thread looks every ten seconds; a job's first look begins its period.
  explicit BackgroundEviction(std::vector<Job> jobs, std::function<int64_t()> now = nullptr);
  // Waits for an eviction that is under way and for nothing else.
  ~BackgroundEviction();
  BackgroundEviction(const BackgroundEviction&) = delete;
  BackgroundEviction& operator=(const BackgroundEviction&) = delete;

  // What the thread does every ten seconds. Returns how many jobs were due.
  size_t Look();

 private:
  void Run();

  std::mutex jobs_mutex_, stop_mutex_;
  std::vector<Job> jobs_;
  const std::function<int64_t()> now_;
  std::condition_variable stop_wait_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace monolith
