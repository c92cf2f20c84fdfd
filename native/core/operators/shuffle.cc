#include "core/operators/shuffle.h"

#include <algorithm>

#include "core/base/error.h"

namespace monolith {
namespace {

constexpr size_t kFetched = 512;  // bytes of a record that are fetched ahead; the machine follows with the rest

size_t Cost(const std::string& s) { return s.capacity() + sizeof s; }

}  // namespace

ShuffleOperator::ShuffleOperator(uint64_t seed, size_t max_records, size_t max_bytes)
    : random_(seed), max_records_(max_records), max_bytes_(max_bytes) {
  if (max_records == 0) throw Error(ErrorCode::kUsage, "a shuffle buffer holds at least one record");
}

void ShuffleOperator::Emit(size_t i, RecordSink* next) {
  Record record;
  record.payload = held_[i];
  next->Write(record);
}

void ShuffleOperator::Drop(size_t i) {
  bytes_ -= Cost(held_[i]);
  if (i + 1 != held_.size()) held_[i].swap(held_.back());
  held_.pop_back();
}

// A place in the full buffer. The string of one drawn now is fetched at once, its bytes half way there.
size_t ShuffleOperator::Draw() {
  if (drawn_of_ != held_.size()) {
    drawn_of_ = held_.size();
    for (size_t& i : drawn_) i = random_.Below(drawn_of_);
  }
  const size_t i = drawn_[next_];
  drawn_[next_] = random_.Below(drawn_of_);
  __builtin_prefetch(&held_[drawn_[next_]]);
  const std::string& soon = held_[drawn_[(next_ + kAhead / 2) % kAhead]];
  for (size_t at = 0; at < std::min(soon.size(), kFetched); at += 64) __builtin_prefetch(soon.data() + at, 1);
  next_ = (next_ + 1) % kAhead;
  return i;
}

void ShuffleOperator::Process(const Record& record, RecordSink* next) {
  if (held_.size() < max_records_) {
    held_.emplace_back(record.payload);
    bytes_ += Cost(held_.back());
  } else {
    // The memory of the record that leaves is used again for the one that comes.
    const size_t i = Draw();
    Emit(i, next);
    bytes_ -= Cost(held_[i]);
    held_[i].assign(record.payload);
    bytes_ += Cost(held_[i]);
  }
  while (bytes_ > max_bytes_ && !held_.empty()) {
    const size_t i = random_.Below(held_.size());
    Emit(i, next);
    Drop(i);
  }
}

void ShuffleOperator::Finish(RecordSink* next) {
  while (!held_.empty()) {
    const size_t i = random_.Below(held_.size());
    Emit(i, next);
    Drop(i);
  }
  held_.shrink_to_fit();
}

}  // namespace monolith
