#include "core/operators/message_sink.h"

#include "core/base/error.h"
#include "core/wire/schema.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

constexpr size_t kBatchBytes = 1 << 20, kBatchMessages = 4096;

// The data source key that stands in a record; a lagrangex header carries it.
uint32_t KeyInRecord(RecordType type, std::string_view record) {
  const uint32_t number = type == RecordType::kExample    ? schema::example::kDataSourceKey
                          : type == RecordType::kInstance ? schema::instance::kDataSourceKey
                                                          : schema::example_batch::kDataSourceKey;
  uint32_t key = 0;
  wire::Reader reader(record);
  wire::Field field;
  while (reader.Next(&field))
    if (field.number == number && field.type == wire::Type::kVarint) key = static_cast<uint32_t>(field.scalar);
  return key;
}

}  // namespace

MessageSink::MessageSink(MessageOptions options, Send send) : options_(std::move(options)), send_(std::move(send)) {
  if (options_.key.empty()) return;
  field_ = FindLineIdField(options_.key);
  if (!field_ || field_->repeated || field_->kind == FieldKind::kFloat || field_->kind == FieldKind::kBool) {
    std::string choices;
    for (const LineIdField& f : kLineIdFields)
      if (!f.repeated && f.kind != FieldKind::kFloat && f.kind != FieldKind::kBool)
        choices += (choices.empty() ? "" : ", ") + std::string(f.name);
    throw Error(ErrorCode::kUsage,
                "--key " + options_.key + ": choose a field of LineId that is one number or text: " + choices);
  }
  view_.emplace(options_.type, "pb-publish --key");
  place_ = view_->WantLineId(*field_);
}

void MessageSink::LoadKey(std::string_view record) {
  key_.clear();
  if (!view_) return;
  view_->Load(record);
  if (field_->kind == FieldKind::kString) {
    key_ = view_->line_id().String(place_);
  } else if (view_->line_id().Uint(place_) != 0) {
    key_ = field_->kind == FieldKind::kUint64 ? std::to_string(view_->line_id().Uint(place_))
                                              : std::to_string(view_->line_id().Int(place_));
  }
}

void MessageSink::Add(std::string_view record) {
  LoadKey(record);
  if (options_.framed) {
    frame_.clear();
    AppendFrame(*options_.framed, record, &frame_);
    if (options_.framed->lagrangex_header)
      StoreLe<uint64_t>(frame_.data(), DataSourceKey(KeyInRecord(options_.type, record)));
    record = frame_;
  }
  const size_t size = record.size() + key_.size();
  if (size > options_.max_bytes)
    throw BadRecord("it needs a message of " + std::to_string(size) + " bytes, over the limit of " +
                    std::to_string(options_.max_bytes) + " (-X message.max.bytes)");
  if (open_records_ > 0 && (open_key_ != key_ || open_.size() + size > options_.max_bytes)) Close();
  if (open_records_ == 0) open_key_ = key_;
  open_.append(record);
  if (++open_records_ >= options_.max_records) Close();
}

void MessageSink::Close() {
  const size_t begin = data_.size();
  data_.append(open_);
  const size_t end = data_.size();
  data_.append(open_key_);
  places_.push_back({begin, end, data_.size()});
  open_.clear();
  open_records_ = 0;
  if (data_.size() >= kBatchBytes || places_.size() >= kBatchMessages) Flush();
}

void MessageSink::Flush() {
  if (open_records_ > 0) Close();
  if (places_.empty()) return;
  messages_.clear();
  for (const Place& p : places_) {
    const std::string_view data = data_;
    messages_.push_back(
        {data.substr(p.begin, p.end - p.begin), data.substr(p.end, p.key_end - p.end), p.key_end > p.end});
  }
  places_.clear();
  send_(messages_);
  data_.clear();
}

}  // namespace monolith
