// Records of a message queue: batches of messages, one record each or several in frames.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/frame.h"
#include "core/io/record_reader.h"

namespace monolith {

// Where the messages come from.
class MessageSource {
 public:
  virtual ~MessageSource() = default;
  // Waits for the next messages and gives views of them, which stay valid until the next call; false at the end.
  // Throws Interrupted when a stop was requested or Cancel() called.
  virtual bool NextBatch(std::vector<std::string_view>* messages) = 0;
  // The first `messages` of the batch, and all batches before, were passed on by the chain. `left`: they have also left
  // it; else an operator still holds some of them back.
  virtual void Passed(size_t messages, bool left) = 0;
  // Where message `i` of the batch stands, for a person: "partition 3, offset 17".
  virtual std::string Place(size_t i) const = 0;
  virtual const std::string& name() const = 0;
  virtual void Cancel() = 0;
};

// Offsets count the bytes of the bare wire that all messages together make.
class MessageReader : public RecordReader {
 public:
  // framed: the options by which a message is taken apart; none: each message is one record.
  MessageReader(std::shared_ptr<MessageSource> source, std::optional<FrameOptions> framed, uint64_t max_record_size);

  bool Next(Record* record) override;
  uint64_t NextRun(uint64_t max, std::string_view* frames) override;
  bool Buffered() const override { return at_ < wire_.size() || bad_at_ < bad_.size(); }
  const std::string& name() const override { return source_->name(); }
  uint64_t offset() const override { return base_ + at_; }
  std::string Place(uint64_t offset) const override;
  void Passed(uint64_t offset, bool left) override;
  void Cancel() override { source_->Cancel(); }

 private:
  struct Bad {
    size_t at;  // in wire_, where the frames before it end
    std::string rest, reason;
  };

  bool Load();
  void Unpack(std::string_view message);
  void AddBad(std::string_view rest, const std::string& reason);

  std::shared_ptr<MessageSource> source_;
  const std::optional<FrameOptions> framed_;
  const uint64_t max_record_size_;
  std::vector<std::string_view> messages_;
  std::string wire_, patched_;
  std::vector<size_t> ends_;  // of each message in wire_
  std::vector<Bad> bad_;      // ascending
  uint64_t base_ = 0;         // offset of wire_
  size_t at_ = 0, bad_at_ = 0;
};

}  // namespace monolith
