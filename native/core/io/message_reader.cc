#include "core/io/message_reader.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith {
namespace {

constexpr size_t kKeep = 4 << 20;  // memory kept from batch to batch

std::string Reason(const FrameLook& look, size_t have) {
  const std::string number = std::to_string(look.value);
  switch (look.state) {
    case FrameState::kShort:
      return "the last record of the message is cut short: " + std::to_string(have) + " bytes are there, " + number +
             " are needed";
    case FrameState::kReserved:
      return "the record length is the reserved marker 0xfefefefe";
    case FrameState::kSortIdTooLong:
      return "a sort id of " + number + " bytes is over the limit";
    case FrameState::kSortIdUnexpected:
      return "the kafka dump prefix announces a sort id of " + number + " bytes: try --has-sort-id as well";
    default:
      return "a record length of " + number + " bytes is over the limit; the framing options are probably wrong";
  }
}

}  // namespace

MessageReader::MessageReader(std::shared_ptr<MessageSource> source, std::optional<FrameOptions> framed,
                             uint64_t max_record_size)
    : source_(std::move(source)), framed_(framed), max_record_size_(max_record_size) {}

// A broken message takes one byte of the offsets, so that it can be told from what stands before it.
void MessageReader::AddBad(std::string_view rest, const std::string& reason) {
  bad_.push_back({wire_.size(), std::string(rest), reason});
  wire_.push_back('\0');
}

void MessageReader::Unpack(std::string_view message) {
  if (!framed_) {
    if (message.size() > max_record_size_)
      return AddBad(message, "a record of " + std::to_string(message.size()) + " bytes is over the limit of " +
                                 std::to_string(max_record_size_));
    AppendFrame({}, message, &wire_);
    return;
  }
  while (!message.empty()) {
    const FrameLook look = ParseFrame(*framed_, message);
    if (look.state != FrameState::kWhole) return AddBad(message, Reason(look, message.size()));
    const std::string_view payload = message.substr(look.frame.payload, look.frame.size);
    if (framed_->lagrangex_header) {
      try {
        SetDataSourceKey(framed_->type, payload, DataSourceKey(look.frame.lagrangex), &patched_);
      } catch (const BadRecord& e) {
        return AddBad(message, e.what());
      }
      AppendFrame({}, patched_, &wire_);
    } else {
      AppendFrame({}, payload, &wire_);
    }
    message.remove_prefix(look.frame.payload + look.frame.size);
  }
}

bool MessageReader::Load() {
  if (!source_->NextBatch(&messages_)) return false;
  base_ += wire_.size();
  if (wire_.capacity() > kKeep) std::string().swap(wire_);
  wire_.clear();
  ends_.clear();
  bad_.clear();
  at_ = bad_at_ = 0;
  for (const std::string_view message : messages_) {
    Unpack(message);
    ends_.push_back(wire_.size());
  }
  return true;
}

bool MessageReader::Next(Record* record) {
  while (at_ == wire_.size())
    if (!Load()) return false;
  record->offset = base_ + at_;
  if (bad_at_ < bad_.size() && bad_[bad_at_].at == at_) {
    const Bad& bad = bad_[bad_at_++];
    record->payload = bad.rest;
    record->framed = false;
    record->end = base_ + ++at_;
    throw BadRecord(bad.reason);
  }
  const char* p = wire_.data() + at_;
  record->payload = {p + 8, static_cast<size_t>(LoadLe<uint64_t>(p))};
  record->framed = true;
  at_ += 8 + record->payload.size();
  record->end = base_ + at_;
  return true;
}

uint64_t MessageReader::NextRun(uint64_t max, std::string_view* frames) {
  const size_t end = bad_at_ < bad_.size() ? bad_[bad_at_].at : wire_.size();
  const size_t begin = at_;
  uint64_t records = 0;
  for (; records < max && at_ < end; ++records) at_ += 8 + LoadLe<uint64_t>(wire_.data() + at_);
  *frames = {wire_.data() + begin, at_ - begin};
  return records;
}

std::string MessageReader::Place(uint64_t offset) const {
  if (ends_.empty() || offset < base_ || offset >= base_ + wire_.size()) return "at its start";
  const auto message = std::upper_bound(ends_.begin(), ends_.end(), static_cast<size_t>(offset - base_));
  return source_->Place(static_cast<size_t>(message - ends_.begin()));
}

void MessageReader::Passed(uint64_t offset, bool left) {
  if (offset < base_) return;
  const auto message = std::upper_bound(ends_.begin(), ends_.end(), static_cast<size_t>(offset - base_));
  source_->Passed(static_cast<size_t>(message - ends_.begin()), left);
}

}  // namespace monolith
