// Frames: how records stand one after the other in a stream (u64 little-endian throughout).
//
//   lagrangex:  header, size, payload
//   otherwise:  [kafka dump prefix] [sort id] [kafka dump] size, payload
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/io/input_buffer.h"
#include "core/io/record_reader.h"

namespace monolith {

struct FrameOptions {
  bool lagrangex_header = false;  // wins over the other three
  bool kafka_dump_prefix = false;
  bool has_sort_id = false;
  bool kafka_dump = false;
  RecordType type = RecordType::kInstance;         // says where the data source key of a lagrangex header goes
  uint64_t max_record_size = uint64_t{1} << 30;    // of payload and sort id; more is taken for broken framing

  bool bare() const { return !(lagrangex_header || kafka_dump_prefix || has_sort_id || kafka_dump); }
};

// One frame in memory.
struct Frame {
  size_t payload = 0;  // where the payload begins
  size_t size = 0;     // of the payload
  uint64_t lagrangex = 0;
};

// What ParseFrame found.
enum class FrameState {
  kWhole,
  kShort,             // `need` bytes at least must be there
  kReserved,          // the marker 0xfefefefe in the place of the size
  kTooLong,           // a size over the limit
  kSortIdTooLong,
  kSortIdUnexpected,  // a kafka dump prefix announces a sort id, which the options do not have
};

struct FrameLook {
  FrameState state;
  uint64_t value;  // of kShort: bytes needed; of the errors: the number read
  Frame frame;
};

// Looks at the frame at the start of `bytes`.
FrameLook ParseFrame(const FrameOptions& options, std::string_view bytes);

// Options under which the first frames of `bytes` look right, as flags for a person ("--has-sort-id"); "" if none do.
std::string GuessFraming(std::string_view bytes, const FrameOptions& used);

// Appends one frame with empty headers: eight zero bytes for each, sixteen for the kafka dump prefix.
void AppendFrame(const FrameOptions& options, std::string_view payload, std::string* out);

// The data source key that a lagrangex header carries.
inline uint32_t DataSourceKey(uint64_t lagrangex) { return static_cast<uint32_t>(lagrangex) & 0xffffff00u; }

// Replaces *out with `payload` whose data source key is `key`.
void SetDataSourceKey(RecordType type, std::string_view payload, uint32_t key, std::string* out);

class FrameReader : public RecordReader {
 public:
  // `start_offset` skips that many uncompressed bytes of the source first; they must be there.
  FrameReader(std::shared_ptr<ByteSource> source, const FrameOptions& options, uint64_t start_offset = 0);

  bool Next(Record* record) override;
  uint64_t NextRun(uint64_t max, std::string_view* frames) override;
  bool Buffered() const override;
  const std::string& name() const override { return input_.source().name(); }
  uint64_t offset() const override { return input_.position(); }
  size_t ReadRest(char* to, size_t n) override;
  void Cancel() override { input_.source().Cancel(); }

 private:
  FrameLook Look() const;
  bool Fill(uint64_t need);
  std::string Guess() const;
  [[noreturn]] void ThrowBroken(const FrameLook& look) const;
  [[noreturn]] void ThrowCutShort(uint64_t need) const;

  InputBuffer input_;
  FrameOptions options_;
  bool bare_;
  std::string head_;  // first bytes of the source, to tell its framing from should it break
  std::string patched_;
};

}  // namespace monolith
