// What looks at, drops, rewrites or multiplies records. One operator is one small file beside this one.
//
// Operators are chained by the Chain (chain.h): each pushes what it lets through into the next sink, the last into
// the output. A record that is not changed is passed on as it came, so that it leaves byte for byte the same.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/io/record.h"

namespace monolith {

class Operator {
 public:
  virtual ~Operator() = default;
  virtual const char* name() const = 0;

  // Handles one record: writes zero, one or many to `next`. Throws BadRecord when the payload cannot be read;
  // nothing may have been written for this record then.
  virtual void Process(const Record& record, RecordSink* next) = 0;

  // The input has ended: writes what was held back.
  virtual void Finish(RecordSink* /*next*/) {}

  // The input has nothing more at hand, or the memory of records seen so far is about to be used again: what went
  // elsewhere than to `next` must leave now.
  virtual void Flush(RecordSink* /*next*/) {}

  // After Finish(), when the whole input went through: files that appear whole may take their place.
  virtual void Commit() {}

  // Why records were dropped, for the statistics at the end. Keys are short words: "req_time", "label".
  virtual std::map<std::string, uint64_t> DroppedBy() const { return {}; }

  // What else is worth telling at the end, by name.
  virtual std::map<std::string, uint64_t> Counts() const { return {}; }

  // Nothing is let through any more, whatever comes: no further input need be read.
  bool ended() const { return ended_; }

 protected:
  bool ended_ = false;
};

}  // namespace monolith
