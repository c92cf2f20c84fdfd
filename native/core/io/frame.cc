#include "core/io/frame.h"

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

constexpr uint64_t kReservedSize = 0xfefefefe;

// Walks the parts of a header; stops for good at the first that is not there or not right.
class HeaderWalk {
 public:
  HeaderWalk(const FrameOptions& options, std::string_view bytes) : options_(options), bytes_(bytes) {}

  FrameLook Run() {
    uint64_t sort_id_size = 0, word = 0;
    FrameLook look{FrameState::kShort, 0, {}};
    if (options_.lagrangex_header) {
      if (!Word(&look.frame.lagrangex)) return Short(8);
    } else {
      if (options_.kafka_dump_prefix) {
        if (!Word(&sort_id_size)) return Short(8);
        if (sort_id_size == 0 && !Word(&word)) return Short(8);
        if (sort_id_size != 0 && !options_.has_sort_id) return Broken(FrameState::kSortIdUnexpected, sort_id_size);
      }
      if (options_.has_sort_id) {
        if (sort_id_size == 0 && !Word(&sort_id_size)) return Short(8);
        if (sort_id_size > options_.max_record_size) return Broken(FrameState::kSortIdTooLong, sort_id_size);
        if (!Skip(sort_id_size)) return Short(sort_id_size);
      }
      if (options_.kafka_dump && !Skip(8)) return Short(8);
    }
    if (!Word(&word)) return Short(8);
    if (word == kReservedSize) return Broken(FrameState::kReserved, word);
    if (word > options_.max_record_size) return Broken(FrameState::kTooLong, word);
    look.frame.payload = at_;
    look.frame.size = static_cast<size_t>(word);
    if (!Skip(word)) return Short(word);
    look.state = FrameState::kWhole;
    return look;
  }

 private:
  bool Word(uint64_t* v) {
    if (bytes_.size() - at_ < 8) return false;
    *v = LoadLe<uint64_t>(bytes_.data() + at_);
    at_ += 8;
    return true;
  }
  bool Skip(uint64_t n) {
    if (bytes_.size() - at_ < n) return false;
    at_ += static_cast<size_t>(n);
    return true;
  }
  FrameLook Short(uint64_t more) const { return {FrameState::kShort, at_ + more, {}}; }
  static FrameLook Broken(FrameState state, uint64_t value) { return {state, value, {}}; }

  const FrameOptions& options_;
  std::string_view bytes_;
  size_t at_ = 0;
};

// True when `bytes` starts with frames whose payloads walk as protobuf, a few of them or up to the end.
bool LooksRight(const FrameOptions& options, std::string_view bytes) {
  size_t frames = 0, filled = 0;
  for (; frames < 8; ++frames) {
    if (bytes.empty()) break;
    const FrameLook look = ParseFrame(options, bytes);
    if (look.state == FrameState::kShort && filled > 0) break;
    if (look.state != FrameState::kWhole) return false;
    wire::Reader fields(bytes.substr(look.frame.payload, look.frame.size));
    wire::Field field;
    try {
      while (fields.Next(&field)) {
      }
    } catch (const BadRecord&) {
      return false;
    }
    filled += look.frame.size > 0;
    bytes.remove_prefix(look.frame.payload + look.frame.size);
  }
  return filled > 0;
}

}  // namespace

FrameLook ParseFrame(const FrameOptions& options, std::string_view bytes) { return HeaderWalk(options, bytes).Run(); }

std::string GuessFraming(std::string_view bytes, const FrameOptions& used) {
  for (int bits = 0; bits < 9; ++bits) {
    FrameOptions o = used;
    o.lagrangex_header = bits == 8;
    o.has_sort_id = bits & 1;
    o.kafka_dump_prefix = bits & 2;
    o.kafka_dump = bits & 4;
    if (!LooksRight(o, bytes)) continue;
    if (o.bare()) return "no framing option";
    std::string flags = o.lagrangex_header ? " --lagrangex-header" : "";
    if (o.kafka_dump_prefix) flags += " --kafka-dump-prefix";
    if (o.has_sort_id) flags += " --has-sort-id";
    if (o.kafka_dump) flags += " --kafka-dump";
    return flags.substr(1);
  }
  return "";
}

void AppendFrame(const FrameOptions& options, std::string_view payload, std::string* out) {
  size_t zeros = 0;
  if (options.lagrangex_header) {
    zeros = 8;
  } else {
    zeros = (options.kafka_dump_prefix ? 16 : 0) + (options.has_sort_id ? 8 : 0) + (options.kafka_dump ? 8 : 0);
  }
  out->append(zeros, '\0');
  char size[8];
  StoreLe<uint64_t>(size, payload.size());
  out->append(size, 8);
  out->append(payload);
}

void SetDataSourceKey(RecordType type, std::string_view payload, uint32_t key, std::string* out) {
  const uint32_t number = type == RecordType::kExample ? 103 : 100;
  out->clear();
  wire::Reader reader(payload);
  wire::Field field;
  const char* kept = payload.data();
  while (reader.Next(&field)) {
    if (field.number != number) continue;
    out->append(kept, static_cast<size_t>(field.begin - kept));
    kept = field.end;
  }
  out->append(kept, static_cast<size_t>(payload.data() + payload.size() - kept));
  // Example and ExampleBatch are proto3: there a zero is not written.
  if (key != 0 || type == RecordType::kInstance) wire::Writer(out).Varint(number, key);
}

}  // namespace monolith
