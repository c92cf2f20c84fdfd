// What happens to records that cannot be read.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "core/io/record.h"
#include "core/io/record_reader.h"

namespace monolith {

// What happens to a record that cannot be read, and to the broken end of a source.
enum class OnBadRecord { kFail, kSkip, kSetAside };

// "fail", "skip" or, anything else, the path that kSetAside appends to.
OnBadRecord ParseOnBadRecord(const std::string& text);

// Leaves them out: counts them, keeps their bytes where that is asked for, and tells of the first ones. Not thread-safe, but for count().
class BadRecords {
 public:
  // What a message ends with where a bad record ends the run.
  static constexpr char kHint[] = " (--on-bad-record skip leaves such records out)";
  using Warn = std::function<void(const std::string& message)>;

  // path: of kSetAside, appended to, framed as the bare wire; throws Error(kCannotCreate) when that is not possible. warn hears of
  // the first ones, ten at most.
  explicit BadRecords(OnBadRecord what = OnBadRecord::kFail, const std::string& path = "", Warn warn = nullptr);
  ~BadRecords();

  // None is left out: the first one ends the run.
  bool fail() const { return what_ == OnBadRecord::kFail; }
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }

  // message: where it stands and what is wrong with it. Throws Error(kIo) when it cannot be kept.
  void Leave(const Record& record, const std::string& message);
  // There is no telling where the next record begins: the rest of the source is left out, or kept in pieces.
  void LeaveRest(RecordReader* reader, const Error& error);

 private:
  void Count(const std::string& message);

  const OnBadRecord what_;
  const Warn warn_;
  std::unique_ptr<RecordSink> set_aside_;
  std::atomic<uint64_t> count_{0};
};

}  // namespace monolith
