#include "core/tables/background_eviction.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <utility>

namespace monolith {
namespace {

constexpr std::chrono::seconds kLookEvery{10};

int64_t UnixSeconds() { return std::time(nullptr); }

}  // namespace

BackgroundEviction::BackgroundEviction(std::vector<Job> jobs, std::function<int64_t()> now)
    : jobs_(std::move(jobs)), now_(now ? std::move(now) : UnixSeconds), thread_([this] { Run(); }) {}

BackgroundEviction::~BackgroundEviction() {
  {
    std::lock_guard<std::mutex> lock(stop_mutex_);
    stop_ = true;
  }
  stop_wait_.notify_all();
  thread_.join();
}

void BackgroundEviction::Run() {
  std::unique_lock<std::mutex> lock(stop_mutex_);
  while (!stop_wait_.wait_for(lock, kLookEvery, [this] { return stop_; })) {
    lock.unlock();
    Look();
    lock.lock();
  }
}

size_t BackgroundEviction::Look() {
  std::lock_guard<std::mutex> lock(jobs_mutex_);
  const int64_t now = now_();
  size_t due = 0;
  for (Job& job : jobs_) {
    if (job.last == 0) {
      job.last = now;
      continue;
    }
    if (now - job.last < job.every_seconds) continue;
    ++due;
    job.last = now;
    try {
      job.evict();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "eviction in the background failed, the next turn tries again: %s\n", e.what());
    }
  }
  return due;
}

}  // namespace monolith
