// Records of many sources in batches, filled ahead on a thread of its own: the input of the trainer.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/io/bad_records.h"
#include "core/io/record_reader.h"

namespace monolith {

// Records in one piece of memory. `first` numbers them over the whole stream, from 0, those skipped at the start included; `end` is the
// number of the next record behind them, further on than their size where records in between were left out.
struct RecordBatch {
  RecordType type = RecordType::kInstance;
  std::string bytes;
  std::vector<uint64_t> offsets;  // size()+1 entries into bytes
  uint64_t first = 0, end = 0;

  // Where they came from, which a batch that has left its process does not know: each record's byte in its source, and the sources,
  // each with the first record that is of it.
  struct Source {
    size_t first;
    std::shared_ptr<const std::string> name;
  };
  std::vector<uint64_t> places;
  std::vector<Source> sources;

  size_t size() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  std::string_view record(size_t i) const { return {bytes.data() + offsets[i], offsets[i + 1] - offsets[i]}; }
  // Record i for a person: "log.pb: byte 88900".
  std::string Place(size_t i) const;
};

// Where a stream stands after a number of records.
struct StreamPosition {
  uint64_t records = 0;  // records before this position
  std::string source;    // the source that holds the next record ("" before the first)
  uint64_t source_index = 0;  // counts the sources that were opened
  uint64_t offset = 0;   // byte in that source's uncompressed stream
};

struct RecordStreamOptions {
  size_t batches_ahead = 4;
  // Passed over first; they count in `first` and in positions, and must be there.
  uint64_t skip_records = 0;
  // Where the first source that `next_reader` returns stands, when earlier records or sources were left out by the caller.
  StreamPosition start;
  // What becomes of records that cannot be read; without it the first one ends the stream. Those left out count in positions, not in
  // batches.
  std::shared_ptr<BadRecords> bad_records;
  // Throws BadRecord for a record that nobody could use, called on the stream's thread; without it all can be used.
  std::function<void(std::string_view payload)> check;
};

class RecordStream {
 public:
  // Opens the next source, nullptr at the end; called on the stream's thread.
  using NextReader = std::function<std::shared_ptr<RecordReader>()>;

  RecordStream(RecordType type, size_t batch_size, NextReader next_reader, RecordStreamOptions options = {});
  ~RecordStream();
  RecordStream(const RecordStream&) = delete;
  RecordStream& operator=(const RecordStream&) = delete;

  // The next batch; nullptr at the end and after Stop() or a stop request. The last one may be smaller. An error of the
  // sources is thrown once every batch before it has been handed out.
  std::shared_ptr<RecordBatch> Next();

  // The position after `records` records, which must be the end of a batch handed out not long ago (or the start).
  StreamPosition PositionAfter(uint64_t records) const;

  // How many were left out so far, some of them behind the batches handed out.
  uint64_t bad_records() const;

  // Ends the stream, a read that waits included. Never waits longer than a few seconds.
  void Stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::mutex join_mutex_;
  std::thread thread_;
};

// Streams by name, for the op that reads them.
void RegisterStream(const std::string& name, std::shared_ptr<RecordStream> stream);
std::shared_ptr<RecordStream> FindStream(const std::string& name);
void UnregisterStream(const std::string& name);
void UnregisterAllStreams();

}  // namespace monolith
