// Rows as EntryDump messages (spec 30, 1.1 and 1.6), to and from the wire.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/tables/optimizer.h"
#include "core/tables/table.h"

namespace monolith {

// Every record of a table is alike but for its numbers: the bytes between them are laid out once. Only batch_softmax has a
// number whose size differs, and with it the lengths around it.
class EntryCodec {
 public:
  EntryCodec(std::string table_name, const RowPlan& plan);

  // The most bytes that a message takes.
  size_t max_size() const { return max_size_; }
  // Writes the message of one row, at most max_size() bytes, and returns its length.
  size_t Encode(const EmbeddingTable::Row& row, char* out) const;
  void Append(const EmbeddingTable::Row& row, std::string* out) const;

  struct Entry {
    int64_t key = 0;
    int64_t timestamp = 0;
  };
  // Reads a message into floats[row_floats]. Throws BadRecord when it is none, and Error(kConfig) naming table, key and
  // both shapes when it is the row of a table with another dim or other optimizers.
  Entry Decode(std::string_view message, float* floats) const;

 private:
  // Bytes that stand before a run of floats, each of which has `tag` in front.
  struct Piece {
    std::string constant;
    char tag;
    int first, count;  // in the row
  };

  void LayOut();
  void AppendVarying(const EmbeddingTable::Row& row, std::string* out) const;
  void AppendState(const float* floats, std::string* out) const;
  bool DecodeAlike(std::string_view message, float* floats, Entry* entry) const;
  void DecodeState(std::string_view opt, int64_t key, float* floats) const;
  [[noreturn]] void Mismatch(int64_t key, const std::string& stored) const;

  std::string table_name_;
  const RowPlan& plan_;
  std::vector<Piece> pieces_;  // none when sizes differ
  size_t fixed_size_ = 0;  // bytes in front of the timestamp
  size_t max_size_ = 0;
};

}  // namespace monolith
