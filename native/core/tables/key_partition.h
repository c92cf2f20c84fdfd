// Rows of several sources brought together by key: first all are added, then they come back in batches that fit into memory, and
// all rows of one key of one table are in the same batch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tables/row_spool.h"

namespace monolith {

class KeyPartition {
 public:
  struct Row {
    int64_t key;
    uint32_t table, source;
    std::string_view message;
  };

  // memory: bytes that rows take, waiting and in a batch together. directory: as RowSpool has it.
  KeyPartition(std::string directory, size_t memory);

  void Add(const Row& row);

  // The next rows, sorted by table and key, rows of one key in the order they were added; false at the end. Views are valid
  // until the next call.
  bool NextBatch(std::vector<Row>* rows);

 private:
  static constexpr int kDepth = 4;  // a lane too long for memory is parted again, this often

  struct Work {
    std::shared_ptr<RowSpool> spool;
    size_t lane;
    int depth;
  };

  static void Append(RowSpool* spool, int depth, int64_t key, std::string_view record);
  void Enqueue(std::shared_ptr<RowSpool> spool, int depth);
  std::shared_ptr<RowSpool> Part(const Work& work) const;

  std::string directory_;
  size_t memory_;
  std::shared_ptr<RowSpool> first_;
  std::vector<Work> work_;
  bool reading_ = false;
  std::string record_, batch_;
};

}  // namespace monolith
