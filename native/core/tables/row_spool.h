// Records put aside in lanes, to be read back lane by lane: in memory while they fit, then in a temporary file without a name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace monolith {

class RowSpool {
 public:
  // directory: where the file is made once the records are more than `memory` bytes; "": $TMPDIR, else /tmp.
  RowSpool(std::string directory, size_t memory);
  ~RowSpool();
  RowSpool(const RowSpool&) = delete;
  RowSpool& operator=(const RowSpool&) = delete;

  // Lanes begin to be with their first record. Throws Error(kIo) naming the directory.
  void Append(size_t lane, std::string_view record);

  size_t lanes() const { return lanes_.size(); }
  uint64_t bytes(size_t lane) const { return lane < lanes_.size() ? lanes_[lane].bytes : 0; }
  uint64_t records(size_t lane) const { return lane < lanes_.size() ? lanes_[lane].records : 0; }

  // Reads a lane in the order of its records. Nothing may be appended meanwhile.
  class Reader {
   public:
    Reader(const RowSpool& spool, size_t lane) : spool_(spool), lane_(lane) {}
    // The next record, valid until the call after; false at the end.
    bool Next(std::string_view* record);

   private:
    bool Load();

    const RowSpool& spool_;
    size_t lane_, chunk_ = 0;
    std::string text_;
    std::string_view rest_;
    bool buffer_read_ = false;
  };

 private:
  struct Chunk {
    uint64_t offset, size;
  };
  struct Lane {
    std::string buffer;
    std::vector<Chunk> chunks;
    uint64_t bytes = 0, records = 0;
  };

  void Spill();
  void Open();

  std::string directory_;
  size_t memory_, held_ = 0;
  int fd_ = -1;
  uint64_t end_ = 0;  // of the file
  std::vector<Lane> lanes_;
};

}  // namespace monolith
