#include "core/io/type_guard.h"

#include "core/wire/schema.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;

bool IsPacked(const Field& f, Type own, size_t width) {
  return f.type == own || (f.type == Type::kBytes && f.bytes.size() % width == 0);
}

// Whether a field is one of a message with a name (1), features (2) and numbers (3, and `last`).
bool IsNamed(std::string_view message, uint32_t last) {
  Reader reader(message);
  Field f;
  while (reader.Next(&f)) {
    const bool part = f.number == 1 || f.number == 2;
    if (part ? f.type != Type::kBytes : (f.number != 3 && f.number != last) || f.type != Type::kVarint) return false;
  }
  return true;
}

bool IsOfInstance(const Field& f) {
  using namespace schema::instance;
  switch (f.number) {
    case kFid:
    case kNextFid: return IsPacked(f, Type::kFixed64, 8);
    case kValue:
    case kLabel:
    case kDense: return IsPacked(f, Type::kFixed32, 4);
    case kInstanceWeight: return f.type == Type::kFixed32;
    case kLineId:
    case kLabelTag:
    case kFeature: return f.type == Type::kBytes;
    case kDataSourceKey: return f.type == Type::kVarint;
    default: return false;
  }
}

bool IsOfExample(const Field& f) {
  using namespace schema::example;
  switch (f.number) {
    case kNamedFeature:
    case kNamedRawFeature: return f.type == Type::kBytes && IsNamed(f.bytes, schema::named_feature::kSortedId);
    case kLineId: return f.type == Type::kBytes;
    case kLabel: return IsPacked(f, Type::kFixed32, 4);
    case kInstanceWeight: return f.type == Type::kFixed32;
    case kDataSourceKey: return f.type == Type::kVarint;
    default: return false;
  }
}

bool IsOfExampleBatch(const Field& f) {
  using namespace schema::example_batch;
  switch (f.number) {
    case kNamedFeatureList:
    case kNamedRawFeatureList: return f.type == Type::kBytes && IsNamed(f.bytes, schema::named_feature_list::kId);
    case kBatchSize:
    case kDataSourceKey: return f.type == Type::kVarint;
    default: return false;
  }
}

bool IsWhole(RecordType type, std::string_view payload) {
  const auto is_of = type == RecordType::kInstance  ? IsOfInstance
                     : type == RecordType::kExample ? IsOfExample
                                                    : IsOfExampleBatch;
  try {
    Reader reader(payload);
    Field f;
    while (reader.Next(&f))
      if (!is_of(f)) return false;
  } catch (const BadRecord&) {
    return false;
  }
  return true;
}

}  // namespace

std::optional<RecordType> OtherType(RecordType type, std::string_view payload) {
  if (IsWhole(type, payload)) return std::nullopt;
  for (RecordType other : {RecordType::kInstance, RecordType::kExample, RecordType::kExampleBatch})
    if (other != type && IsWhole(other, payload)) return other;
  return std::nullopt;
}

void TypeGuard::Check(const std::string& source, const Record& record) const {
  const auto other = OtherType(*type_, record.payload);
  if (!other) return;
  throw WrongType(source + ": byte " + std::to_string(record.offset) + ": this record is of type " +
                  RecordTypeName(*other) + ", not " + RecordTypeName(*type_) + " (--type tells which one to read)");
}

}  // namespace monolith
