// A changed record in the making: what is not touched is taken over as it stands.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/io/record.h"
#include "core/wire/wire.h"

namespace monolith {

class RecordEdit {
 public:
  void Begin(const Record& record) {
    record_ = record;
    at_ = record.payload.data();
    end_ = at_ + record.payload.size();
    out_.clear();
  }
  // Takes over all that stands before `field`, and leaves the field out. Fields come in the order of the record.
  std::string* Replace(std::string_view field) {
    out_.append(at_, static_cast<size_t>(field.data() - at_));
    at_ = field.data() + field.size();
    return &out_;
  }
  // Takes over the rest; what is appended then stands behind it.
  std::string* Rest() {
    out_.append(at_, static_cast<size_t>(end_ - at_));
    at_ = end_;
    return &out_;
  }
  // The record with its new content, valid until Begin().
  const Record& Made() {
    Rest();
    record_.payload = out_;
    record_.framed = false;
    return record_;
  }

 private:
  Record record_;
  const char *at_ = nullptr, *end_ = nullptr;
  std::string out_;
};

inline size_t VarintLength(uint64_t v) { return static_cast<size_t>(70 - __builtin_clzll(v | 1)) / 7; }
// Bytes of a field whose value is `n` bytes with a length before them.
inline size_t BytesFieldLength(uint32_t number, size_t n) {
  return VarintLength(uint64_t{number} << 3) + VarintLength(n) + n;
}

// What a new feature holds: fids of v2, floats or integers, packed.
enum class NewFeature : uint8_t { kFids, kFloats, kInt64s };

// Appends a feature with one list to an Example or, as a column, to an Instance.
void AppendFeature(RecordType type, std::string_view name, NewFeature kind, std::string_view packed, std::string* out);

}  // namespace monolith
