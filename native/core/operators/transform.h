// Filters and rewrites in a row, some of them in pairs of which one has to keep a record (spec 20, section 27).
//
// A record that one step drops is not seen by the next. Both branches of a pair see every record, one after the other,
// whatever the first says; what a branch that keeps it changes, the second branch and the next step find changed. A record
// leaves once at most, and unless a branch changed it, as it came.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/operators/operator.h"

namespace monolith {

class Transform : public Operator {
 public:
  // One filter or rewrite, by its name in summaries. Its operator makes at most one record of one and holds none back;
  // nullptr drops every record.
  struct Branch {
    std::string name;
    std::shared_ptr<Operator> op;
  };
  using Step = std::vector<Branch>;  // one, or the two of a pair

  struct Counts {
    std::string name;
    uint64_t in, out;
  };

  // Throws Error(kUsage) for a step of no or more than two branches. No step at all passes every record on.
  explicit Transform(std::vector<Step> steps);

  const char* name() const override { return "transform"; }
  void Process(const Record& record, RecordSink* next) override;
  // By the step that dropped: `filter_by_fid`, …; `or` for a pair.
  std::map<std::string, uint64_t> DroppedBy() const override;

  // Of each branch in order, then of the whole: "(A and B)", "(A or B)", "Identity". May be called while another thread is
  // in Process(); then it is a little behind.
  std::vector<Counts> Summary() const;

 private:
  // Written by one thread, read by any.
  class Counter {
   public:
    void Add() { n_.store(get() + 1, std::memory_order_relaxed); }
    uint64_t get() const { return n_.load(std::memory_order_relaxed); }

   private:
    std::atomic<uint64_t> n_{0};
  };
  struct Counted {
    Branch branch;
    Counter in, out;
  };
  struct Stage {
    std::vector<std::unique_ptr<Counted>> branches;
    uint64_t dropped = 0;
  };

  bool Keeps(Counted* counted, Record* record);

  std::vector<Stage> stages_;
  std::string whole_;
  Counter in_, out_;
};

}  // namespace monolith
