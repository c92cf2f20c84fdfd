#include "core/tables/entry_codec.h"

#include <cstring>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/tables/optimizers/optimizer_type.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;

constexpr char kIdTag = 0x09, kNumTag = 0x15, kOptTag = 0x1a, kTimestampTag = 0x20;

std::string Describe(int dim, const std::string& optimizers) { return "dim " + std::to_string(dim) + ", " + optimizers; }

// The optimizers of a record in words, from its `opt` message.
std::string DescribeState(std::string_view opt) {
  std::string s;
  Field dump, single, floats;
  for (Reader r(opt); r.Next(&dump);) {
    if (dump.number != 1 || dump.type != Type::kBytes) continue;
    for (Reader inner(dump.bytes); inner.Next(&single);) {
      size_t n = 0;
      if (single.type == Type::kBytes)
        for (Reader f(single.bytes); f.Next(&floats);) n += floats.type == Type::kBytes ? floats.bytes.size() / 4 : 1;
      s += (s.empty() ? "" : " + ") + std::string(DumpName(single.number)) + " state of " + std::to_string(n) + " numbers";
    }
  }
  return s.empty() ? "no optimizer state" : s;
}

std::string DescribePlan(const RowPlan& plan) {
  if (plan.serving()) return "made for serving";
  std::string s;
  for (const SegmentPlan& p : plan.segments()) {
    int n = 0;
    for (const StateField& f : p.type->state)
      if (f.number) n += f.Values(p.dim);
    s += (s.empty() ? "" : " + ") + std::string(p.type->name) + " state of " + std::to_string(n) + " numbers";
  }
  return s;
}

// Passes over the `opt` message at p up to the timestamp; nullptr when something else stands there.
const char* SkipState(const char* p, const char* end, const char* begin) {
  if (*p++ != kOptTag) return nullptr;
  const uint64_t size = wire::ReadVarint(p, end, begin);
  if (size >= static_cast<uint64_t>(end - p) || p[size] != kTimestampTag) return nullptr;
  return p + size + 1;
}

size_t VarintSize(uint64_t v) {
  size_t n = 1;
  while (v >>= 7) ++n;
  return n;
}

}  // namespace

EntryCodec::EntryCodec(std::string table_name, const RowPlan& plan) : table_name_(std::move(table_name)), plan_(plan) {
  // Every number is four bytes at most but for those of 64 bits; with its tags, and the lengths around a segment.
  max_size_ = 32 + size_t(plan.row_floats()) * 7 + plan.segments().size() * 16;
  if (plan.serving()) {  // reads weights alone, and writes none
    pieces_.push_back({"", kNumTag, 0, plan.dim()});
    fixed_size_ = 9 + size_t(plan.dim()) * 5;
    return;
  }
  for (const SegmentPlan& p : plan.segments())
    for (const StateField& f : p.type->state)
      if (f.number && f.shape == StateField::kInt64) return;
  LayOut();
}

void EntryCodec::LayOut() {
  pieces_.push_back({"", kNumTag, 0, plan_.dim()});
  // Lengths nest: a single dump inside `dump` inside `opt`.
  struct Sizes {
    size_t message, single;
  };
  std::vector<Sizes> sizes;
  size_t opt = 0;
  for (const SegmentPlan& p : plan_.segments()) {
    const size_t message = size_t(p.state_size) * 5;  // every field is a tag of one byte and four bytes
    const size_t single = 1 + VarintSize(message) + message;
    sizes.push_back({message, single});
    if (!p.type->dump_number) continue;
    opt += 1 + VarintSize(single) + single;
  }
  std::string head;
  wire::Writer w(&head);
  w.Tag(3, Type::kBytes);
  w.RawVarint(opt);
  for (size_t i = 0; i < sizes.size(); ++i) {
    const SegmentPlan& p = plan_.segments()[i];
    if (!p.type->dump_number) continue;
    w.Tag(1, Type::kBytes);
    w.RawVarint(sizes[i].single);
    w.Tag(p.type->dump_number, Type::kBytes);
    w.RawVarint(sizes[i].message);
    for (const StateField& f : p.type->state) {
      if (!f.number) break;
      pieces_.push_back({head, static_cast<char>(f.number << 3 | uint32_t(Type::kFixed32)), p.state + f.Offset(p.dim),
                         f.Floats(p.dim)});
      head.clear();
    }
  }
  pieces_.push_back({head + kTimestampTag, 0, 0, 0});
  fixed_size_ = 9;
  for (const Piece& p : pieces_) fixed_size_ += p.constant.size() + size_t(p.count) * 5;
}

void EntryCodec::AppendState(const float* floats, std::string* out) const {
  std::string opt, single, message;
  for (const SegmentPlan& p : plan_.segments()) {
    if (!p.type->dump_number) continue;
    message.clear();
    single.clear();
    wire::Writer w(&message);
    for (const StateField& f : p.type->state) {
      if (!f.number) break;
      const float* v = floats + p.state + f.Offset(p.dim);
      if (f.shape == StateField::kInt64) {
        w.Varint(f.number, LoadLe<uint64_t>(reinterpret_cast<const char*>(v)));
      } else {
        for (int i = 0; i < f.Floats(p.dim); ++i) w.Float(f.number, v[i]);
      }
    }
    wire::Writer(&single).Bytes(p.type->dump_number, message);
    wire::Writer(&opt).Bytes(1, single);
  }
  wire::Writer(out).Bytes(3, opt);
}

void EntryCodec::AppendVarying(const EmbeddingTable::Row& row, std::string* out) const {
  wire::Writer w(out);
  w.Fixed64(1, static_cast<uint64_t>(row.key));
  for (int i = 0; i < plan_.dim(); ++i) w.Float(2, row.floats[i]);
  AppendState(row.floats, out);
  w.Varint(4, row.timestamp);
}

size_t EntryCodec::Encode(const EmbeddingTable::Row& row, char* out) const {
  if (pieces_.empty()) {
    std::string message;
    AppendVarying(row, &message);
    std::memcpy(out, message.data(), message.size());
    return message.size();
  }
  char* p = out;
  *p = kIdTag;
  StoreLe(p + 1, row.key);
  p += 9;
  for (const Piece& piece : pieces_) {
    std::memcpy(p, piece.constant.data(), piece.constant.size());
    p += piece.constant.size();
    const float* v = row.floats + piece.first;
    const uint64_t tag = static_cast<uint8_t>(piece.tag);
    // Eight bytes a store; the next one, or what follows the last, overwrites the three too many.
    for (int i = 0; i < piece.count; ++i, p += 5) StoreLe<uint64_t>(p, tag | uint64_t{LoadLe<uint32_t>(v + i)} << 8);
  }
  uint32_t ts = row.timestamp;
  for (; ts >= 0x80; ts >>= 7) *p++ = static_cast<char>(ts | 0x80);
  *p++ = static_cast<char>(ts);
  return static_cast<size_t>(p - out);
}

void EntryCodec::Append(const EmbeddingTable::Row& row, std::string* out) const {
  const size_t before = out->size();
  out->resize(before + max_size_);
  out->resize(before + Encode(row, out->data() + before));
}

// The usual case: the message stands as Append writes it.
bool EntryCodec::DecodeAlike(std::string_view message, float* floats, Entry* entry) const {
  if (pieces_.empty() || message.size() <= fixed_size_ || message[0] != kIdTag) return false;
  entry->key = LoadLe<int64_t>(message.data() + 1);
  const char* p = message.data() + 9;
  const char* end = message.data() + message.size();
  for (const Piece& piece : pieces_) {
    if (std::memcmp(p, piece.constant.data(), piece.constant.size()) != 0) return false;
    p += piece.constant.size();
    float* v = floats + piece.first;
    int wrong = 0;
    for (int i = 0; i < piece.count; ++i, p += 5) {
      wrong |= *p ^ piece.tag;
      v[i] = LoadLe<float>(p + 1);
    }
    if (wrong) return false;
  }
  if (plan_.serving()) p = SkipState(p, end, message.data());
  if (!p) return false;
  entry->timestamp = static_cast<int64_t>(wire::ReadVarint(p, end, message.data()));
  return p == end;
}

EntryCodec::Entry EntryCodec::Decode(std::string_view message, float* floats) const {
  Entry entry;
  if (DecodeAlike(message, floats, &entry)) return entry;
  entry = Entry();
  bool has_id = false;
  std::string opt;
  int dim = 0;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1 && f.type == Type::kFixed64) entry.key = f.AsInt64(), has_id = true;
    if (f.number == 2)
      wire::ForEachFixed<float>(f, [&](float v) {
        if (dim < plan_.dim()) floats[dim] = v;
        ++dim;
      });
    if (f.number == 3 && f.type == Type::kBytes) opt.append(f.bytes);  // messages merge by concatenation
    if (f.number == 4 && f.type == Type::kVarint) entry.timestamp = f.AsInt64();
  }
  if (!has_id) throw BadRecord("the entry has no id");
  if (dim != plan_.dim()) Mismatch(entry.key, Describe(dim, DescribeState(opt)));
  if (!plan_.serving()) DecodeState(opt, entry.key, floats);
  return entry;
}

void EntryCodec::DecodeState(std::string_view opt, int64_t key, float* floats) const {
  const auto& segments = plan_.segments();
  const auto mismatch = [&] { Mismatch(key, Describe(plan_.dim(), DescribeState(opt))); };
  // Nothing is stored for sgd but the place, for moving_average not even that, and item dumps leave out both.
  if (opt.empty() && plan_.row_floats() == plan_.dim()) return;
  size_t segment = 0;
  const auto skip = [&] {
    while (segment < segments.size() && !segments[segment].type->dump_number) ++segment;
  };
  Field dump, single, value;
  for (Reader r(opt); r.Next(&dump);) {
    if (dump.number != 1 || dump.type != Type::kBytes) continue;
    skip();
    if (segment == segments.size()) mismatch();
    const SegmentPlan& p = segments[segment++];
    const auto& fields = p.type->state;
    bool there = false;
    int counts[OptimizerType::kMaxFields] = {};
    for (Reader inner(dump.bytes); inner.Next(&single);) {
      if (single.number != p.type->dump_number || single.type != Type::kBytes) mismatch();
      there = true;
      for (Reader body(single.bytes); body.Next(&value);) {
        for (size_t k = 0; k < OptimizerType::kMaxFields && fields[k].number; ++k) {
          const StateField& f = fields[k];
          if (f.number != value.number) continue;
          float* to = floats + p.state + f.Offset(p.dim);
          if (f.shape == StateField::kInt64) {
            if (value.type != Type::kVarint) continue;
            std::memcpy(to, &value.scalar, sizeof value.scalar);
            counts[k] = 1;
            continue;
          }
          wire::ForEachFixed<float>(value, [&](float v) {
            if (f.shape == StateField::kFloat) counts[k] = 0;  // the last one counts
            if (counts[k] < f.Values(p.dim)) to[counts[k]] = v;
            ++counts[k];
          });
        }
      }
    }
    if (!there) mismatch();
    for (size_t k = 0; k < OptimizerType::kMaxFields && fields[k].number; ++k)
      if (counts[k] != fields[k].Values(p.dim)) mismatch();
  }
  skip();
  if (segment != segments.size()) mismatch();
}

void EntryCodec::Mismatch(int64_t key, const std::string& stored) const {
  throw Error(ErrorCode::kConfig, "table '" + table_name_ + "', key " + std::to_string(key) + ": the checkpoint has " + stored +
                                      "; the table is configured with " + Describe(plan_.dim(), DescribePlan(plan_)));
}

}  // namespace monolith
