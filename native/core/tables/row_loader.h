// Records of a checkpoint into a table: decoded here, inserted many at a time, on a thread of its own where one is free.
#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "core/tables/entry_codec.h"
#include "core/tables/key_set.h"
#include "core/tables/restore_options.h"
#include "core/tables/row_adapter.h"
#include "core/tables/table.h"

namespace monolith {

class RowLoader {
 public:
  // `newer`: keys that newer checkpoints of the chain decide about; null: none. `keep_keys`: older ones follow. `own_thread`: insert
  // beside the decoding.
  RowLoader(EmbeddingTable* table, const RestoreOptions& options, const KeySet* newer, bool keep_keys, bool own_thread);
  ~RowLoader();

  // Throws BadRecord, or Error(kConfig) naming table, key and both shapes.
  void Add(std::string_view message);
  void Finish();

  const RestoreReport& report() const { return report_; }
  // The keys of all rows, with `keep_keys`.
  const std::vector<int64_t>& keys() const { return keys_; }

 private:
  static constexpr size_t kBatch = 1024;
  struct Batch {
    std::vector<int64_t> keys;
    std::vector<uint32_t> timestamps;
    std::vector<float> rows;
  };

  bool Wanted(int64_t key);
  EntryCodec::Entry Decode(std::string_view message, float* floats);
  void Insert(Batch* batch);
  void Flush();
  void Work();

  EmbeddingTable& table_;
  const RestoreOptions& options_;
  const KeySet* newer_;
  const bool keep_keys_;
  std::vector<int64_t> keys_;
  EntryCodec codec_;
  RowAdapter adapter_;
  bool adapting_ = false;
  DumpedEntry dumped_;
  size_t row_floats_;
  uint32_t newest_ = 0;
  RestoreReport report_;
  Batch filling_, handed_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool has_work_ = false, stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace monolith
