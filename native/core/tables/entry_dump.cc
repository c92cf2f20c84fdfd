#include "core/tables/entry_dump.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;

const std::vector<OptimizerKind>& Kinds() {
  static const std::vector<OptimizerKind>* const kKinds = new std::vector<OptimizerKind>{
      {1, "adagrad", {{1, "norm", true, false}}},
      {2, "sgd", {}},
      {3, "ftrl", {{1, "zero", true, false}, {2, "norm", true, false}}},
      {4, "dynamic_wd_adagrad", {{1, "norm", true, false}, {2, "last_update_step", false, true}}},
      {6, "adadelta", {{1, "accum", true, false}, {2, "accum_update", true, false}}},
      {7, "adam", {{1, "m", true, false}, {2, "v", true, false}, {3, "beta1_power", false, false}, {4, "beta2_power", false, false}}},
      {8,
       "amsgrad",
       {{1, "m", true, false},
        {2, "v", true, false},
        {3, "vhat", true, false},
        {4, "beta1_power", false, false},
        {5, "beta2_power", false, false}}},
      {9, "momentum", {{1, "n", true, false}}},
      {11, "rmsprop", {{1, "n", true, false}}},
      {12, "rmspropv2", {{1, "n", true, false}}},
      {13, "group_ftrl", {{1, "zero", true, false}, {2, "norm", true, false}}},
      {14, "batch_softmax", {{1, "global_step", false, true}}},
      {15, "group_adagrad", {{1, "grad_square_sum", false, false}}},
  };
  return *kKinds;
}

const OptimizerKind* FindKind(uint32_t number) {
  for (const OptimizerKind& k : Kinds())
    if (k.number == number) return &k;
  return nullptr;
}

// A message that comes in several pieces is their concatenation; it nearly always comes in one.
struct Merged {
  std::string_view bytes;
  std::string joined;
  bool there = false;

  void Add(std::string_view piece) {
    if (there) {
      if (joined.empty()) joined = bytes;
      joined.append(piece);
      bytes = joined;
    } else {
      bytes = piece;
      there = true;
    }
  }
};

// How many floats with `tag` in front, one after the other, begin at p.
size_t FloatRun(const char* p, const char* end, char tag) {
  const char* const begin = p;
  while (end - p >= 5 && *p == tag) p += 5;
  return static_cast<size_t>(p - begin) / 5;
}

const char* TakeFloats(const char* p, size_t n, std::vector<float>* out) {
  const size_t at = out->size();
  out->resize(at + n);
  for (size_t i = 0; i < n; ++i) std::memcpy(out->data() + at + i, p + 5 * i + 1, 4);
  return p + 5 * n;
}

bool AllFinite(const std::vector<float>& floats) {
  return std::all_of(floats.begin(), floats.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace

const OptimizerKind* FindOptimizerKind(std::string_view name) {
  for (const OptimizerKind& k : Kinds())
    if (name == k.name) return &k;
  return nullptr;
}

void DumpedEntry::Parse(std::string_view message) {
  key = timestamp = 0;
  weights.clear();
  state.clear();
  segments.clear();
  values.clear();
  std::string_view usual;
  if (ParseUsual(message, &usual)) return ParseState(usual);
  weights.clear();
  bool has_id = false;
  Merged opt;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1 && f.type == Type::kFixed64) key = f.AsInt64(), has_id = true;
    if (f.number == 2) wire::ForEachFixed<float>(f, [&](float v) { weights.push_back(v); });
    if (f.number == 3 && f.type == Type::kBytes) opt.Add(f.bytes);
    if (f.number == 4 && f.type == Type::kVarint) timestamp = f.AsInt64();
  }
  if (!has_id) throw BadRecord("the entry has no id");
  ParseState(opt.bytes);
}

// A message as tables write it: each field once, in order, floats not packed.
bool DumpedEntry::ParseUsual(std::string_view message, std::string_view* opt) {
  const char* p = message.data();
  const char* const end = p + message.size();
  if (message.size() < 9 || *p != 0x09) return false;
  key = LoadLe<int64_t>(p + 1);
  p += 9;
  p = TakeFloats(p, FloatRun(p, end, 0x15), &weights);
  if (p == end || *p++ != 0x1A) return false;
  const uint64_t size = wire::ReadVarint(p, end, message.data());
  if (size >= static_cast<uint64_t>(end - p)) return false;
  *opt = {p, size};
  p += size;
  if (*p++ != 0x20) return false;
  timestamp = static_cast<int64_t>(wire::ReadVarint(p, end, message.data()));
  return p == end;
}

void DumpedEntry::ParseState(std::string_view opt) {
  Field dump;
  for (Reader r(opt); r.Next(&dump);)
    if (dump.number == 1 && dump.type == Type::kBytes) ParseSegment(dump.bytes);
}

void DumpedEntry::ParseSegment(std::string_view dump) {
  const OptimizerKind* kind = nullptr;
  Merged body;
  Field f;
  for (Reader r(dump); r.Next(&f);) {
    if (f.type != Type::kBytes) continue;
    const OptimizerKind* k = FindKind(f.number);
    if (!k) throw BadRecord("the entry has the state of an unknown optimizer: field " + std::to_string(f.number));
    if (k != kind) body = Merged(), kind = k;  // of a oneof the last counts
    body.Add(f.bytes);
  }
  Segment segment{kind, values.size(), 0};
  if (kind && !ParseUsualFields(*kind, body.bytes)) {
    values.resize(segment.first);
    for (const OptimizerField& field : kind->fields) {
      Value value{&field, state.size(), 0, 0};
      for (Reader r(body.bytes); r.Next(&f);) {
        if (f.number != field.number) continue;
        if (field.integer) {
          if (f.type == Type::kVarint) value.integer = f.AsInt64(), value.count = 1;
          continue;
        }
        if (!field.repeated) state.resize(value.first);  // the last one counts
        wire::ForEachFixed<float>(f, [&](float v) { state.push_back(v); });
      }
      if (!field.integer) value.count = state.size() - value.first;
      if (!field.repeated && value.count != 1)
        throw BadRecord(std::string("the ") + kind->name + " state has " + std::to_string(value.count) + " values of " + field.name);
      values.push_back(value);
    }
  }
  segment.count = values.size() - segment.first;
  segments.push_back(segment);
}

// The fields of a kind, each once and in order.
bool DumpedEntry::ParseUsualFields(const OptimizerKind& kind, std::string_view body) {
  const size_t state_size = state.size();
  const char* p = body.data();
  const char* const end = p + body.size();
  for (const OptimizerField& field : kind.fields) {
    Value value{&field, state.size(), 1, 0};
    if (field.integer) {
      if (p == end || *p != static_cast<char>(field.number << 3)) break;
      value.integer = static_cast<int64_t>(wire::ReadVarint(++p, end, body.data()));
    } else {
      value.count = FloatRun(p, end, static_cast<char>(field.number << 3 | 5));
      if (!field.repeated && value.count != 1) break;
      p = TakeFloats(p, value.count, &state);
    }
    values.push_back(value);
    if (&field == &kind.fields.back() && p == end) return true;
  }
  if (kind.fields.empty()) return true;
  state.resize(state_size);
  return false;
}

bool DumpedEntry::Finite() const { return AllFinite(weights) && AllFinite(state); }

std::string EntryShape::Describe() const {
  std::string s = "dim " + std::to_string(dim) + ":";
  for (size_t i = 0; i < segments.size(); ++i)
    s += (i ? " + " : " ") + segments[i].optimizer + (segments[i].dim >= 0 ? " " + std::to_string(segments[i].dim) : "");
  return s;
}

void ShapeCheck::Check(const DumpedEntry& entry) {
  found_.clear();
  found_.push_back(entry.weights.size());
  for (const auto& segment : entry.segments) {
    found_.push_back(segment.kind ? segment.kind->number : 0);
    for (size_t i = segment.first; i < segment.first + segment.count; ++i) found_.push_back(entry.values[i].count);
  }
  if (found_ == layout_) return;
  EntryShape shape = ShapeOf(entry);
  if (!layout_.empty() && !(shape == shape_)) throw BadRecord(shape.Describe() + " where the rows before have " + shape_.Describe());
  shape_ = std::move(shape);
  layout_ = found_;
}

EntryShape ShapeOf(const DumpedEntry& entry) {
  EntryShape shape;
  shape.dim = entry.weights.size();
  size_t known = 0, unknown = 0;
  for (const auto& segment : entry.segments) {
    const std::string name = segment.kind ? segment.kind->name : "none";
    int dim = name == "batch_softmax" ? 1 : -1;
    for (size_t i = segment.first; i < segment.first + segment.count; ++i) {
      const auto& value = entry.values[i];
      if (!value.field->repeated) continue;
      if (dim >= 0 && static_cast<size_t>(dim) != value.count)
        throw BadRecord("the " + name + " state has " + std::to_string(value.count) + " values of " + value.field->name + " and " +
                        std::to_string(dim) + " of another");
      dim = static_cast<int>(value.count);
    }
    if (dim >= 0) known += static_cast<size_t>(dim);
    else ++unknown;
    shape.segments.push_back({name, dim});
  }
  if (known > shape.dim)
    throw BadRecord("the entry has " + std::to_string(shape.dim) + " weights but optimizer state for " + std::to_string(known));
  const int rest = static_cast<int>(shape.dim - known);
  if (unknown == 0 && rest > 0) shape.segments.push_back({"none", rest});
  if (unknown == 1)
    for (auto& segment : shape.segments)
      if (segment.dim < 0) segment.dim = rest;
  return shape;
}

}  // namespace monolith
