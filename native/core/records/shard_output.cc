#include "core/records/shard_output.h"

#include <charconv>

#include "core/wire/wire.h"

namespace monolith {
namespace {

namespace message {
enum : uint32_t { kVersion = 1, kList, kFidOffset, kFeatureOffset, kNflOffset, kBatchSize, kNflSize, kFeatureSize, kFidSize, kEmbSize,
                  kFidList, kRowSplits, kTableRowLength, kShardRowLength, kEmbRowLength };
enum : uint32_t { kTable = 1, kPs, kFid, kListRowSplits, kRowSplitsSize };
}  // namespace message

void AppendNumber(uint64_t v, std::string* out) {
  char digits[20];
  out->append(digits, std::to_chars(digits, digits + sizeof digits, v).ptr);
}

// 1, 2, 3; with quotes round each where it may be more than a double holds.
template <class T>
void AppendJson(const std::vector<T>& values, std::string* out) {
  constexpr bool quoted = sizeof(T) == 8 && T(-1) > T(0);
  out->push_back('[');
  for (size_t i = 0; i < values.size(); ++i) {
    if (i) out->push_back(',');
    if (quoted) out->push_back('"');
    AppendNumber(static_cast<uint64_t>(values[i]), out);
    if (quoted) out->push_back('"');
  }
  out->push_back(']');
}

void AppendJsonText(std::string_view text, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (static_cast<unsigned char>(c) < ' ') {
      out->append("\\u00").push_back(kHex[c >> 4]);
      out->push_back(kHex[c & 15]);
    } else {
      out->push_back(c);
    }
  }
}

template <class T>
void AppendVarints(uint32_t number, const std::vector<T>& values, std::string* out) {
  if (values.empty()) return;
  std::string packed;
  wire::Writer w(&packed);
  for (T v : values) w.RawVarint(static_cast<uint64_t>(v));
  wire::Writer(out).Bytes(number, packed);
}

class Output {
 public:
  Output(const FidSharder& sharder, const ShardedFids& sharded, std::string* out) : sharder_(sharder), s_(sharded), out_(out) {}

  void Message();
  void Json();
  void Text();

 private:
  int version() const { return sharder_.config().version; }
  uint32_t servers() const { return sharder_.config().ps_num; }
  std::string ListName(size_t i) const { return sharder_.tables()[i / servers()] + ":" + std::to_string(i % servers()); }

  void MessageList(size_t i);
  template <class Value>
  void JsonLists(const char* key, Value value);
  template <class T>
  void JsonField(const char* key, const std::vector<T>& values) {
    out_->append(",\"").append(key).append("\":");
    AppendJson(values, out_);
  }
  void JsonNumber(const char* key, uint64_t v) {
    out_->append(",\"").append(key).append("\":");
    AppendNumber(v, out_);
  }
  template <class T>
  void TextLine(const std::string& name, const std::vector<T>& values) {
    out_->append("\n").append(name);
    for (T v : values) out_->push_back(' '), AppendNumber(static_cast<uint64_t>(v), out_);
  }
  void TextOffsets();

  const FidSharder& sharder_;
  const ShardedFids& s_;
  std::string* out_;
};

void Output::MessageList(size_t i) {
  std::string list;
  wire::Writer w(&list);
  w.Bytes(message::kTable, sharder_.tables()[i / servers()]);
  if (const uint32_t ps = static_cast<uint32_t>(i % servers())) w.Varint(message::kPs, ps);
  w.Packed(message::kFid, s_.fids[i].data(), s_.fids[i].size());
  if (version() > 1) AppendVarints(message::kListRowSplits, s_.row_splits[i], &list);
  if (version() == 5) w.Varint(message::kRowSplitsSize, s_.row_splits[i].size());
  wire::Writer(out_).Bytes(message::kList, list);
}

void Output::Message() {
  wire::Writer w(out_);
  w.Varint(message::kVersion, static_cast<uint64_t>(version()));
  if (version() != 4)
    for (size_t i = 0; i < s_.fids.size(); ++i) MessageList(i);
  w.Packed(message::kFidOffset, s_.fid_offset.data(), s_.fid_offset.size());
  AppendVarints(message::kFeatureOffset, s_.feature_offset, out_);
  AppendVarints(message::kNflOffset, s_.nfl_offset, out_);
  if (s_.batch_size) w.Varint(message::kBatchSize, static_cast<uint64_t>(s_.batch_size));
  if (version() == 5) {
    w.Varint(message::kNflSize, s_.nfl_offset.size());
    w.Varint(message::kFeatureSize, s_.feature_offset.size());
    if (!s_.fid_offset.empty()) w.Varint(message::kFidSize, s_.fid_offset.size());
    AppendVarints(message::kEmbSize, s_.emb_size, out_);
  }
  if (version() == 4) {
    const JoinedFids joined = Join(sharder_, s_);
    w.Packed(message::kFidList, joined.fid_list.data(), joined.fid_list.size());
    AppendVarints(message::kRowSplits, joined.row_splits, out_);
    AppendVarints(message::kTableRowLength, joined.table_row_length, out_);
    AppendVarints(message::kShardRowLength, joined.shard_row_length, out_);
    AppendVarints(message::kEmbRowLength, joined.emb_row_length, out_);
  }
}

template <class Value>
void Output::JsonLists(const char* key, Value value) {
  out_->append(",\"").append(key).append("\":{");
  for (size_t i = 0; i < s_.fids.size(); ++i) {
    out_->append(i ? ",\"" : "\"");
    AppendJsonText(ListName(i), out_);
    out_->append("\":");
    value(i);
  }
  out_->push_back('}');
}

void Output::Json() {
  out_->append("{\"version\":");
  AppendNumber(static_cast<uint64_t>(version()), out_);
  if (version() != 4) JsonLists("fid_list", [&](size_t i) { AppendJson(s_.fids[i], out_); });
  JsonField("fid_offset", s_.fid_offset);
  JsonField("feature_offset", s_.feature_offset);
  JsonField("nfl_offset", s_.nfl_offset);
  JsonNumber("batch_size", static_cast<uint64_t>(s_.batch_size));
  if (version() == 5) {
    JsonNumber("nfl_size", s_.nfl_offset.size());
    JsonNumber("feature_size", s_.feature_offset.size());
    JsonNumber("fid_size", s_.fid_offset.size());
    JsonField("emb_size", s_.emb_size);
  }
  if (version() == 4) {
    const JoinedFids joined = Join(sharder_, s_);
    JsonField("fid_list", joined.fid_list);
    JsonField("row_splits", joined.row_splits);
    JsonField("table_row_length", joined.table_row_length);
    JsonField("shard_row_length", joined.shard_row_length);
    JsonField("emb_row_length", joined.emb_row_length);
  } else if (version() > 1) {
    JsonLists("row_splits", [&](size_t i) { AppendJson(s_.row_splits[i], out_); });
    if (version() == 5) JsonLists("row_splits_size", [&](size_t i) { AppendNumber(s_.row_splits[i].size(), out_); });
  }
  out_->push_back('}');
}

void Output::TextOffsets() {
  out_->append("\nfid_offset");
  for (uint64_t v : s_.fid_offset) {
    out_->push_back(' ');
    AppendNumber(v >> 32, out_);
    out_->push_back(':');
    AppendNumber(v & UINT32_MAX, out_);
  }
}

void Output::Text() {
  out_->append("batch of ");
  AppendNumber(static_cast<uint64_t>(s_.batch_size), out_);
  out_->append(" rows, version ");
  AppendNumber(static_cast<uint64_t>(version()), out_);
  if (version() == 4) {
    const JoinedFids joined = Join(sharder_, s_);
    TextLine("fid_list", joined.fid_list);
    TextLine("row_splits", joined.row_splits);
    TextLine("table_row_length", joined.table_row_length);
    TextLine("shard_row_length", joined.shard_row_length);
    TextLine("emb_row_length", joined.emb_row_length);
  } else {
    for (size_t i = 0; i < s_.fids.size(); ++i) {
      TextLine(ListName(i), s_.fids[i]);
      if (version() > 1) TextLine(ListName(i) + " row_splits", s_.row_splits[i]);
    }
  }
  TextOffsets();
  TextLine("feature_offset", s_.feature_offset);
  TextLine("nfl_offset", s_.nfl_offset);
  if (version() == 5) TextLine("emb_size", s_.emb_size);
  out_->push_back('\n');
}

}  // namespace

JoinedFids Join(const FidSharder& sharder, const ShardedFids& sharded) {
  JoinedFids joined;
  const uint32_t servers = sharder.config().ps_num;
  for (uint32_t s = 0; s < servers; ++s) {
    size_t rows = 0;
    for (size_t t = 0; t < sharder.tables().size(); ++t) {
      const size_t i = t * servers + s;
      joined.fid_list.insert(joined.fid_list.end(), sharded.fids[i].begin(), sharded.fids[i].end());
      joined.row_splits.insert(joined.row_splits.end(), sharded.row_splits[i].begin(), sharded.row_splits[i].end());
      joined.table_row_length.push_back(static_cast<int32_t>(sharded.fids[i].size()));
      joined.emb_row_length.push_back(sharded.emb_size[i]);
      rows += sharded.fids[i].size();
    }
    joined.shard_row_length.push_back(static_cast<int32_t>(rows));
  }
  return joined;
}

void WriteSharded(const FidSharder& sharder, const ShardedFids& sharded, ShardForm form, std::string* out) {
  Output output(sharder, sharded, out);
  switch (form) {
    case ShardForm::kMessage: return output.Message();
    case ShardForm::kJson: return output.Json();
    case ShardForm::kText: return output.Text();
  }
}

}  // namespace monolith
