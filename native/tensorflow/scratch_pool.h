// Work memory of a kernel, kept between runs. A kernel may run on several threads at once: each takes one and
// gives it back.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace monolith {

template <class Scratch>
class ScratchPool {
 public:
  std::unique_ptr<Scratch> Take() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) return std::make_unique<Scratch>();
    std::unique_ptr<Scratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void Return(std::unique_ptr<Scratch> scratch) {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

}  // namespace monolith
