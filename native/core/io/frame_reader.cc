#include <algorithm>
#include <cstring>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/io/frame.h"

namespace monolith {
namespace {

constexpr size_t kHead = 4096;
constexpr uint64_t kReservedSize = 0xfefefefe;

std::string FlagsOf(const FrameOptions& o) {
  if (o.lagrangex_header) return "--lagrangex-header";
  std::string s;
  if (o.kafka_dump_prefix) s += "--kafka-dump-prefix ";
  if (o.has_sort_id) s += "--has-sort-id ";
  if (o.kafka_dump) s += "--kafka-dump ";
  if (s.empty()) return "no framing option";
  s.pop_back();
  return s;
}

}  // namespace

FrameReader::FrameReader(std::shared_ptr<ByteSource> source, const FrameOptions& options, uint64_t start_offset)
    : input_(std::move(source)), options_(options), bare_(options.bare()) {
  if (start_offset > 0 && !input_.SkipTo(start_offset))
    throw Error(ErrorCode::kBadData, name() + ": ends at byte " + std::to_string(input_.position()) +
                                         ", before byte " + std::to_string(start_offset) + " where reading should go on");
}

inline FrameLook FrameReader::Look() const {
  if (bare_ && input_.size() >= 8) {
    const uint64_t size = LoadLe<uint64_t>(input_.data());
    if (size <= input_.size() - 8 && size <= options_.max_record_size && size != kReservedSize)
      return {FrameState::kWhole, 0, {8, static_cast<size_t>(size), 0}};
  }
  return ParseFrame(options_, {input_.data(), input_.size()});
}

bool FrameReader::Buffered() const { return Look().state != FrameState::kShort; }

bool FrameReader::Next(Record* record) {
  FrameLook look = Look();
  while (look.state == FrameState::kShort) {
    if (!Fill(look.value)) {
      if (input_.size() == 0 || open_end_) return false;
      ThrowCutShort(look.value);
    }
    look = Look();
  }
  if (input_.position() == 0) head_.assign(input_.data(), std::min(input_.size(), kHead));
  if (look.state != FrameState::kWhole) ThrowBroken(look);
  record->payload = {input_.data() + look.frame.payload, look.frame.size};
  record->framed = true;
  record->offset = input_.position();
  input_.Consume(look.frame.payload + look.frame.size);
  record->end = input_.position();
  if (options_.lagrangex_header) {
    SetDataSourceKey(options_.type, record->payload, DataSourceKey(look.frame.lagrangex), &patched_);
    record->payload = patched_;
    record->framed = false;
  }
  return true;
}

uint64_t FrameReader::NextRun(uint64_t max, std::string_view* frames) {
  if (!bare_) return 0;
  const char* const begin = input_.data();
  const char* const end = begin + input_.size();
  const char* p = begin;
  uint64_t records = 0;
  for (; records < max && end - p >= 8; ++records) {
    const uint64_t size = LoadLe<uint64_t>(p);
    if (size > static_cast<uint64_t>(end - p - 8) || size > options_.max_record_size || size == kReservedSize) break;
    p += 8 + size;
  }
  if (records == 0) return 0;
  if (input_.position() == 0) head_.assign(begin, std::min(input_.size(), kHead));
  *frames = {begin, static_cast<size_t>(p - begin)};
  input_.Consume(frames->size());
  return records;
}

bool FrameReader::Fill(uint64_t need) { return input_.Fill(static_cast<size_t>(need)); }

// Other framing under which the start of the source looks right.
std::string FrameReader::Guess() const {
  const std::string_view begin = head_.empty() ? std::string_view(input_.data(), input_.size()) : head_;
  const std::string guess = GuessFraming(begin, options_);
  return guess == FlagsOf(options_) ? "" : guess;
}

void FrameReader::ThrowCutShort(uint64_t need) const {
  std::string text = name() + ": byte " + std::to_string(input_.position()) + ": the last record is cut short: " +
                     std::to_string(input_.size()) + " bytes are there, " + (need < 16 ? "at least " : "") +
                     std::to_string(need) + " are needed";
  const std::string guess = Guess();
  if (!guess.empty())
    text += "; it looks like records with " + guess;
  else
    text += " (--on-bad-record skip leaves it out)";
  throw Error(ErrorCode::kBadData, text);
}

void FrameReader::ThrowBroken(const FrameLook& look) const {
  broken_ = true;
  std::string text = name() + ": byte " + std::to_string(input_.position()) + ": ";
  const std::string number = std::to_string(look.value);
  switch (look.state) {
    case FrameState::kReserved: text += "the record length is the reserved marker 0xfefefefe"; break;
    case FrameState::kSortIdTooLong: text += "a sort id of " + number + " bytes"; break;
    case FrameState::kSortIdUnexpected:
      text += "the kafka dump prefix announces a sort id of " + number + " bytes";
      break;
    default: text += "a record length of " + number + " bytes"; break;
  }
  if (look.state == FrameState::kTooLong || look.state == FrameState::kSortIdTooLong)
    text += ", over the limit of " + std::to_string(options_.max_record_size);
  if (look.state == FrameState::kSortIdUnexpected) throw Error(ErrorCode::kBadData, text + ": try --has-sort-id as well");
  const std::string guess = Guess();
  text += "; the framing options (" + FlagsOf(options_) + ") are probably wrong: try ";
  if (!guess.empty())
    text += guess;
  else
    text += options_.bare() ? "--has-sort-id, --kafka-dump or --lagrangex-header" : "without them";
  throw Error(ErrorCode::kBadData, text);
}

size_t FrameReader::ReadRest(char* to, size_t n) {
  if (input_.size() == 0) return input_.source().Read(to, n);
  const size_t got = std::min(n, input_.size());
  std::memcpy(to, input_.data(), got);
  input_.Consume(got);
  return got;
}

}  // namespace monolith
