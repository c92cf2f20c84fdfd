// Records on their way into messages of a queue: with a key, one to a message or several in frames.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/frame.h"
#include "core/operators/operator.h"
#include "core/operators/record_view.h"

namespace monolith {

struct MessageOptions {
  RecordType type = RecordType::kInstance;
  std::string key;                     // field of LineId that is the key; "" for none
  std::optional<FrameOptions> framed;  // layout of the frames in a message; none: a message is one record
  size_t max_records = 1;              // in one message, when framed
  size_t max_bytes = 1'000'000;        // of one message with its key
};

struct Message {
  std::string_view value, key;
  bool has_key = false;
};

// The end of a chain. Its operator makes the messages; what comes out of it as a sink is only the sign to send them.
class MessageSink : public RecordSink {
 public:
  // Takes messages; they are gone when it returns. May wait; throws Error and Interrupted.
  using Send = std::function<void(const std::vector<Message>&)>;

  // Throws Error(kUsage) for a key that is no field or is none of an example_batch.
  MessageSink(MessageOptions options, Send send);

  // Throws BadRecord for a record whose key cannot be read, or that does not fit a message.
  void Add(std::string_view record);

  void Write(const Record&) override {}
  void WriteRun(std::string_view, uint64_t) override {}
  void Flush() override;

 private:
  struct Place {
    size_t begin, end, key_end;  // in data_
  };

  void LoadKey(std::string_view record);
  void Close();

  const MessageOptions options_;
  Send send_;
  std::optional<RecordView> view_;
  const LineIdField* field_ = nullptr;
  int place_ = 0;
  std::string key_, frame_;
  std::string data_;  // values, each with its key behind it
  std::vector<Place> places_;
  std::vector<Message> messages_;
  std::string open_, open_key_;  // the message in the making, when framed
  size_t open_records_ = 0;
};

// Hands each record to the sink and passes it on, so that it is counted.
class MessageOperator : public Operator {
 public:
  explicit MessageOperator(std::shared_ptr<MessageSink> sink) : sink_(std::move(sink)) {}
  const char* name() const override { return "publish"; }
  void Process(const Record& record, RecordSink* next) override {
    sink_->Add(record.payload);
    next->Write(record);
  }

 private:
  std::shared_ptr<MessageSink> sink_;
};

}  // namespace monolith
