#include "core/tables/entry_codec.h"

#include <cstring>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;

constexpr char kIdTag = 0x09, kNumTag = 0x15, kTimestampTag = 0x20;

// Where the floats of one kind of state stand: its message in SingleOptimizerDump, and per field its number, how many
// floats it has (0: one for each dim) and where they begin in the state, in dims and single floats.
struct StateField {
  uint32_t number;
  bool repeated;
  int dims_before, floats_before;
};
struct StateMessage {
  uint32_t number;
  std::vector<StateField> fields;
};

const StateMessage& MessageOf(OptimizerConfig::Kind kind) {
  static const StateMessage kSgd{2, {}};
  static const StateMessage kAdagrad{1, {{1, true, 0, 0}}};
  static const StateMessage kFtrl{3, {{1, true, 1, 0}, {2, true, 0, 0}}};  // zero, norm on the wire; norm, zero in the row
  static const StateMessage kAdam{7, {{1, true, 0, 0}, {2, true, 1, 0}, {3, false, 2, 0}, {4, false, 2, 1}}};
  switch (kind) {
    case OptimizerConfig::Kind::kSgd: return kSgd;
    case OptimizerConfig::Kind::kAdagrad: return kAdagrad;
    case OptimizerConfig::Kind::kFtrl: return kFtrl;
    case OptimizerConfig::Kind::kAdam: return kAdam;
  }
  return kSgd;
}

const char* DumpName(uint32_t number) {
  static const char* const kNames[] = {"",          "adagrad",  "sgd",     "ftrl",      "dynamic_wd_adagrad", "?",
                                       "adadelta",  "adam",     "amsgrad", "momentum",  "?",                  "rmsprop",
                                       "rmspropv2", "group_ftrl", "batch_softmax", "group_adagrad"};
  return number < sizeof kNames / sizeof *kNames && number > 0 ? kNames[number] : "an unknown optimizer";
}

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
      s += (s.empty() ? "" : " + ") + std::string(DumpName(single.number)) + " state of " + std::to_string(n) + " floats";
    }
  }
  return s.empty() ? "no optimizer state" : s;
}

std::string DescribePlan(const RowPlan& plan) {
  std::string s;
  for (const SegmentPlan& p : plan.segments())
    s += (s.empty() ? "" : " + ") + std::string(OptimizerName(p.optimizer.kind)) + " state of " +
         std::to_string(p.state_size) + " floats";
  return s;
}

size_t VarintSize(uint64_t v) {
  size_t n = 1;
  while (v >>= 7) ++n;
  return n;
}

}  // namespace

EntryCodec::EntryCodec(std::string table_name, const RowPlan& plan) : table_name_(std::move(table_name)), plan_(plan) {
  pieces_.push_back({"", kNumTag, 0, plan.dim()});
  // Lengths nest: a single dump inside `dump` inside `opt`.
  struct Sizes {
    size_t message, single;
  };
  std::vector<Sizes> sizes;
  size_t opt = 0;
  for (const SegmentPlan& p : plan.segments()) {
    const size_t message = size_t(p.state_size) * 5;  // every field is a tag of one byte and four bytes
    const size_t single = 1 + VarintSize(message) + message;
    sizes.push_back({message, single});
    opt += 1 + VarintSize(single) + single;
  }
  std::string head;
  wire::Writer w(&head);
  w.Tag(3, Type::kBytes);
  w.RawVarint(opt);
  for (size_t i = 0; i < sizes.size(); ++i) {
    const SegmentPlan& p = plan.segments()[i];
    const StateMessage& m = MessageOf(p.optimizer.kind);
    w.Tag(1, Type::kBytes);
    w.RawVarint(sizes[i].single);
    w.Tag(m.number, Type::kBytes);
    w.RawVarint(sizes[i].message);
    for (const StateField& f : m.fields) {
      pieces_.push_back({head, static_cast<char>(f.number << 3 | uint32_t(Type::kFixed32)),
                         p.state + f.dims_before * p.dim + f.floats_before, f.repeated ? p.dim : 1});
      head.clear();
    }
  }
  pieces_.push_back({head + kTimestampTag, 0, 0, 0});
  fixed_size_ = 9;
  for (const Piece& p : pieces_) fixed_size_ += p.constant.size() + size_t(p.count) * 5;
}

void EntryCodec::Append(const EmbeddingTable::Row& row, std::string* out) const {
  const size_t before = out->size();
  out->resize(before + fixed_size_);
  char* p = out->data() + before;
  *p = kIdTag;
  StoreLe(p + 1, row.key);
  p += 9;
  for (const Piece& piece : pieces_) {
    std::memcpy(p, piece.constant.data(), piece.constant.size());
    p += piece.constant.size();
    const float* v = row.floats + piece.first;
    for (int i = 0; i < piece.count; ++i, p += 5) {
      *p = piece.tag;
      StoreLe(p + 1, v[i]);
    }
  }
  wire::Writer(out).RawVarint(row.timestamp);
}

// The usual case: the message stands as Append writes it.
bool EntryCodec::DecodeAlike(std::string_view message, float* floats, Entry* entry) const {
  if (message.size() <= fixed_size_ || message[0] != kIdTag) return false;
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
  DecodeState(opt, entry.key, floats);
  return entry;
}

void EntryCodec::DecodeState(std::string_view opt, int64_t key, float* floats) const {
  const auto& segments = plan_.segments();
  const auto mismatch = [&] { Mismatch(key, Describe(plan_.dim(), DescribeState(opt))); };
  // Nothing is stored for sgd but the place, and item dumps leave out even that.
  if (opt.empty() && plan_.row_floats() == plan_.dim()) return;
  size_t segment = 0;
  Field dump, single, value;
  for (Reader r(opt); r.Next(&dump);) {
    if (dump.number != 1 || dump.type != Type::kBytes) continue;
    if (segment == segments.size()) mismatch();
    const SegmentPlan& p = segments[segment++];
    const StateMessage& m = MessageOf(p.optimizer.kind);
    bool there = false;
    std::vector<int> counts(m.fields.size(), 0);
    for (Reader inner(dump.bytes); inner.Next(&single);) {
      if (single.number != m.number || single.type != Type::kBytes) mismatch();
      there = true;
      for (Reader body(single.bytes); body.Next(&value);) {
        for (size_t k = 0; k < m.fields.size(); ++k) {
          const StateField& f = m.fields[k];
          if (f.number != value.number) continue;
          const int room = f.repeated ? p.dim : 1;
          float* to = floats + p.state + f.dims_before * p.dim + f.floats_before;
          wire::ForEachFixed<float>(value, [&](float v) {
            if (!f.repeated) counts[k] = 0;  // the last one counts
            if (counts[k] < room) to[counts[k]] = v;
            ++counts[k];
          });
        }
      }
    }
    if (!there) mismatch();
    for (size_t k = 0; k < m.fields.size(); ++k)
      if (counts[k] != (m.fields[k].repeated ? p.dim : 1)) mismatch();
  }
  if (segment != segments.size()) mismatch();
}

void EntryCodec::Mismatch(int64_t key, const std::string& stored) const {
  throw Error(ErrorCode::kConfig, "table '" + table_name_ + "', key " + std::to_string(key) + ": the checkpoint has " + stored +
                                      "; the table is configured with " + Describe(plan_.dim(), DescribePlan(plan_)));
}

}  // namespace monolith
