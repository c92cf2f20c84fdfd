#include "core/tables/entry_write.h"

#include "core/base/error.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

void AppendFloats(uint32_t number, const float* v, size_t n, std::string* out) {
  const char tag = static_cast<char>(number << 3 | 5);
  const size_t at = out->size();
  out->resize(at + 5 * n);
  char* p = out->data() + at;
  for (size_t i = 0; i < n; ++i, p += 5) {
    p[0] = tag;
    StoreLe(p + 1, v[i]);
  }
}

}  // namespace

EntryHead ReadEntryHead(std::string_view message) {
  EntryHead head;
  bool has_id = false;
  wire::Field f;
  for (wire::Reader r(message); r.Next(&f);) {
    if (f.number == 1 && f.type == wire::Type::kFixed64) head.key = f.AsInt64(), has_id = true;
    if (f.number == 4 && f.type == wire::Type::kVarint) head.timestamp = f.AsInt64();
  }
  if (!has_id) throw BadRecord("the entry has no id");
  return head;
}

void EntryWriter::Append(const DumpedEntry& entry, std::string* out) {
  opt_.clear();
  for (const auto& segment : entry.segments) {
    dump_.clear();
    if (segment.kind) {
      body_.clear();
      wire::Writer body(&body_);
      for (size_t i = segment.first; i < segment.first + segment.count; ++i) {
        const auto& value = entry.values[i];
        if (!value.field->integer) AppendFloats(value.field->number, entry.state.data() + value.first, value.count, &body_);
        else if (value.count) body.Varint(value.field->number, static_cast<uint64_t>(value.integer));
      }
      wire::Writer(&dump_).Bytes(segment.kind->number, body_);
    }
    wire::Writer(&opt_).Bytes(1, dump_);
  }
  wire::Writer w(out);
  w.Fixed64(1, static_cast<uint64_t>(entry.key));
  AppendFloats(2, entry.weights.data(), entry.weights.size(), out);
  w.Bytes(3, opt_);
  w.Varint(4, static_cast<uint64_t>(entry.timestamp));
}

}  // namespace monolith
