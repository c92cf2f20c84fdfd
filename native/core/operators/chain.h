// Runs the records of readers through operators into a sink.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/io/bad_records.h"
#include "core/io/record.h"
#include "core/io/record_reader.h"
#include "core/io/type_guard.h"
#include "core/operators/operator.h"

namespace monolith {

struct ChainOptions {
  static constexpr uint64_t kNoLimit = UINT64_MAX;

  uint64_t limit_in = kNoLimit;   // records taken from the readers
  uint64_t limit_out = kNoLimit;  // records written
  OnBadRecord on_bad_record = OnBadRecord::kFail;
  std::string set_aside_path;  // of kSetAside: appended to, framed as the bare wire
  std::optional<RecordType> type;  // what the operators take records for: a source of another type is refused
  std::vector<std::string> stages;  // per operator, what messages about its records name it by; empty for one command
  bool time_operators = false;  // measure the time spent in each operator; costs two looks at the clock a record
  // Hears of the first bad records, ten at most; all are counted. Called on the thread of Run().
  std::function<void(const std::string& message)> warn;
};

// What one operator of a chain did so far.
struct OperatorStats {
  std::string name;
  uint64_t in = 0, out = 0;  // records
  uint64_t bad = 0;  // of those that came in, what it could not read
  std::map<std::string, uint64_t> dropped;  // by reason
  std::map<std::string, uint64_t> counts;   // whatever else it counts
  double seconds = 0;  // in this operator alone, when time_operators
};

// Not thread-safe, but for stats(), and Operators() of a chain at rest.
class Chain {
 public:
  Chain(std::vector<std::shared_ptr<Operator>> operators, std::shared_ptr<RecordSink> sink, ChainOptions options = {});
  ~Chain();

  // Runs one source to its end. All that was let through has been written when it returns or throws. False when no
  // further source is wanted: a limit is reached or a stop was requested (base/stop.h); what was in memory in whole
  // records has been passed on then.
  bool Run(RecordReader* reader);

  // After the last source: lets operators write what they held back, and put files into place. Throws as Run().
  //
  // A record that an operator cannot read is that operator's affair, as it would be in a process of its own: those before
  // it do not notice, and where it ends the run, those behind it finish with what they have.
  void Finish();

  // May be called while another thread is in Run(); then it is a little behind.
  StreamStats stats() const;

  // In the order records pass them.
  std::vector<OperatorStats> Operators() const;

 private:
  class Link;
  class Tail;
  class Failed;

  bool Full() const;
  bool Wanted() const;
  bool RunAtHand(RecordReader* reader);
  bool Step(RecordReader* reader);
  void HandleBadRecord(size_t stage, const Record& record, const BadRecord& error);
  void FinishFrom(size_t stage);
  void FinishLinks(size_t stage);
  void FlushAll();
  void FlushOf(RecordReader* reader);
  bool HoldsBack() const;
  void Publish();

  std::vector<std::shared_ptr<Operator>> operators_;
  std::shared_ptr<RecordSink> sink_;
  ChainOptions options_;
  std::unique_ptr<Tail> tail_;
  std::vector<std::unique_ptr<Link>> links_;
  RecordSink* head_;
  BadRecords bad_;
  TypeGuard guard_;
  RecordReader* reader_ = nullptr;  // that records come from; none after the last source
  std::string source_;              // the name of the last one
  bool ended_ = false;  // some operator lets nothing through any more
  bool finished_ = false;

  uint64_t records_in_ = 0, bytes_in_ = 0;
  uint64_t passed_ = 0;  // offset in the reader at hand up to which all records have been passed on
  std::atomic<uint64_t> published_[5] = {};
};

}  // namespace monolith
