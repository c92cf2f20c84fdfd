// Records of many sources in batches, filled ahead on a thread of its own: the input of the trainer.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/record_reader.h"

namespace monolith {

// Records in one piece of memory. `first` numbers them over the whole stream, from 0, those skipped at the start included.
struct RecordBatch {
  RecordType type = RecordType::kInstance;
  std::string bytes;
  std::vector<uint64_t> offsets;  // size()+1 entries into bytes
  uint64_t first = 0;

  size_t size() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  std::string_view record(size_t i) const { return {bytes.data() + offsets[i], offsets[i + 1] - offsets[i]}; }
};

// Where a stream stands after a number of records.
struct StreamPosition {
  uint64_t records = 0;  // records before this position
  std::string source;    // the source that holds the next record ("" before the first)
  uint64_t source_index = 0;
  uint64_t offset = 0;   // byte in that source's uncompressed stream
};

class RecordStream {
 public:
  // `next_reader` opens the next source, nullptr at the end; it is called on the stream's thread.
  RecordStream(RecordType type, size_t batch_size, std::function<std::unique_ptr<RecordReader>()> next_reader,
               size_t batches_ahead = 4);
  ~RecordStream();

  // The next batch; nullptr at the end. The last one may be smaller. An error of the sources is thrown once every batch
  // before it has been handed out.
  std::shared_ptr<RecordBatch> Next();

  // The position after `records` records, which must be the end of a batch handed out not long ago.
  StreamPosition PositionAfter(uint64_t records) const;
  void Stop();
};

// Streams by name, for the op that reads them.
void RegisterStream(const std::string& name, std::shared_ptr<RecordStream> stream);
std::shared_ptr<RecordStream> FindStream(const std::string& name);
void UnregisterStream(const std::string& name);

}  // namespace monolith
