// Pull side: records of one source, one after the other.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/io/record.h"

namespace monolith {

// Uncompressed bytes of one source. Implementations: a file descriptor, memory, a Python object.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Reads at most `n` bytes, at least one unless the source has ended; 0 at the end. Throws Error(kIo, kBadData).
  // Returns early with what is at hand, as read(2) does.
  virtual size_t Read(char* to, size_t n) = 0;
  // Skips forward; the default reads and drops. Returns the number of bytes skipped (less only at the end).
  virtual uint64_t Skip(uint64_t n);
  // Makes a Read() that waits, now or later, throw Interrupted. May be called from any thread.
  virtual void Cancel() {}
  const std::string& name() const { return name_; }

 protected:
  explicit ByteSource(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;  // as the user knows it: a path, "stdin", kafka://…
};

class RecordReader {
 public:
  virtual ~RecordReader() = default;
  // Next record; false at the end. The view stays valid until the next call of Next() or Refill().
  // Throws Error(kBadData) naming source and byte offset when the framing is broken; there is no going on then.
  // Throws BadRecord, with *record filled, when one record cannot be used but the next can be read.
  virtual bool Next(Record* record) = 0;
  // Takes up to `max` records that are buffered one behind the other, framed as the bare wire has them, in one piece of
  // memory that stays as long as what Next() gives. Returns how many; 0 when there is no such run: ask Next().
  virtual uint64_t NextRun(uint64_t /*max*/, std::string_view* /*frames*/) { return 0; }
  // True when Next() can answer from memory: a whole frame is buffered. Chains flush their output when it turns false.
  virtual bool Buffered() const = 0;
  virtual const std::string& name() const = 0;
  virtual uint64_t offset() const = 0;  // of the next record in the uncompressed stream
  // Where the record at `offset` stands, for a person.
  virtual std::string Place(uint64_t offset) const { return "byte " + std::to_string(offset); }
  // Every record before `offset` was passed on by the chain. `left`: all of them have also left it, the output has been
  // written; else an operator holds some back. A source that remembers how far it was read goes by this.
  virtual void Passed(uint64_t /*offset*/, bool /*left*/) {}
  // After broken framing: the bytes from the broken frame on, at most n of them; 0 when there are no more.
  virtual size_t ReadRest(char* /*to*/, size_t /*n*/) { return 0; }
  virtual void Cancel() {}  // as that of its source

  // From now on an incomplete record at the end of the source is no error, only the end for now: the source may grow.
  void SetOpenEnd() { open_end_ = true; }
  // The framing turned out to be broken.
  bool broken() const { return broken_; }

 protected:
  bool open_end_ = false;
  mutable bool broken_ = false;
};

}  // namespace monolith
