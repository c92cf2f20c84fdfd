// Several readers as one: a record from each that has one at hand, in turn. The order within a reader is kept.
//
// A live reader (a pipe, which may keep one waiting) has a thread of its own that reads ahead by one buffer; the others,
// files, are read on the spot, so that files alone always merge into the same order. An input whose framing breaks ends
// there; the others are read on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/io/record_reader.h"

namespace monolith {

class MergeReader : public RecordReader {
 public:
  struct Input {
    std::shared_ptr<RecordReader> reader;
    bool live = false;
  };
  using Warn = std::function<void(const std::string& message)>;

  // What an input that cannot be read on does.
  enum class OnError {
    kHold,      // `warn` hears of it at once; Next() throws the first of them when all other inputs have ended
    kGive,      // Next() throws a BadRecord
    kGiveRest,  // and one for each MiB of the rest, with those bytes as payload
  };

  // A record that cannot be used ends its input with kHold, else it is a BadRecord. An error that is not of the data (of
  // the disk, say) is held in any case.
  MergeReader(std::vector<Input> inputs, OnError on_error, Warn warn = {});
  ~MergeReader() override;

  bool Next(Record* record) override;
  bool Buffered() const override;
  // Of the input the last record came from.
  const std::string& name() const override { return slots_[current_]->reader->name(); }
  uint64_t offset() const override { return slots_[current_]->offset; }
  void Cancel() override;

 private:
  // Who may touch a slot.
  enum class State : int { kReading, kAtHand, kEnded };

  struct Slot {
    std::shared_ptr<RecordReader> reader;
    bool live = false;
    std::thread thread;
    std::atomic<State> state{State::kReading};

    std::string_view frames;        // records at hand, as the bare wire has them
    std::string copied;             // their memory, if not the reader's
    std::vector<uint64_t> offsets;  // (begin, end) of each in `copied`, the next first
    size_t next_offset = 0;
    uint64_t offset = 0;  // of the next record
    bool runs = false;    // the reader gives runs
    bool ended = false;   // after the records at hand
    bool broken = false;  // the rest of it is handed out in pieces
    bool interrupted = false;
    std::unique_ptr<Error> error;  // after the records at hand
    bool of_record = false;        // `error` is a BadRecord with the payload and place below
    std::string bad_payload;
    uint64_t bad_begin = 0, bad_end = 0;
  };

  void ReadOn(Slot* slot);
  void ReadAhead(Slot* slot);
  void ReadRestOf(Slot* slot);
  void Keep(Slot* slot, const Record& record);
  void Note(Slot* slot, const Error& error, const Record& record);
  void Break(Slot* slot, const Error& error);
  void RunThread(Slot* slot);
  void Take(Slot* slot, Record* record);
  bool Settle(Slot* slot, Record* record);
  bool Wait();

  std::vector<std::unique_ptr<Slot>> slots_;
  const OnError on_error_;
  Warn warn_;
  size_t current_ = 0;
  std::unique_ptr<Error> held_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // under mutex_
};

}  // namespace monolith
