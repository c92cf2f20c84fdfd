// Any bytes as a message: walking all fields, nested ones included, ends with them all or a BadRecord; the fields put
// together, and written anew, are the message.
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "core/io/frame.h"
#include "core/wire/wire.h"

using namespace monolith;

namespace {

void Walk(std::string_view message, int depth) {
  wire::Reader reader(message);
  wire::Field field;
  std::string whole;
  while (reader.Next(&field)) {
    whole.append(field.Whole());
    std::string again;
    wire::Writer writer(&again);
    switch (field.type) {
      case wire::Type::kVarint: writer.Varint(field.number, field.scalar); break;
      case wire::Type::kFixed64: writer.Fixed64(field.number, field.scalar); break;
      case wire::Type::kFixed32: writer.Fixed32(field.number, static_cast<uint32_t>(field.scalar)); break;
      case wire::Type::kBytes: writer.Bytes(field.number, field.bytes); break;
      default: again = field.Whole(); break;
    }
    // Tags and numbers may be longer than need be: what is written anew need not be the same bytes, only read the same.
    const bool has_bytes = field.type == wire::Type::kBytes || field.type == wire::Type::kStartGroup;
    wire::Reader once_more(again);
    wire::Field same;
    if (!once_more.Next(&same) || same.number != field.number || same.type != field.type) std::abort();
    if (has_bytes ? same.bytes != field.bytes : same.scalar != field.scalar) std::abort();
    uint64_t sum = 0;
    try {
      wire::ForEachVarint(field, [&](uint64_t v) { sum += v; });
      wire::ForEachFixed<uint64_t>(field, [&](uint64_t v) { sum += v; });
      wire::ForEachFixed<float>(field, [&](float v) { sum += v != 0; });
    } catch (const BadRecord&) {
    }
    if (depth < 20 && has_bytes) {
      try {
        Walk(field.bytes, depth + 1);
      } catch (const BadRecord&) {
      }
    }
  }
  if (whole != message) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n) {
  if (n < 1) return 0;
  const std::string_view message(reinterpret_cast<const char*>(data) + 1, n - 1);
  const RecordType type = static_cast<RecordType>(data[0] % 3);
  try {
    Walk(message, 0);
  } catch (const BadRecord&) {
    return 0;
  }
  // A message that walks can take a key, once and for all.
  std::string with_key, again;
  SetDataSourceKey(type, message, 914176, &with_key);
  SetDataSourceKey(type, with_key, 914176, &again);
  if (with_key != again) std::abort();
  return 0;
}
