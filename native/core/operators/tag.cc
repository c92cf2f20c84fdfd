#include "core/operators/tag.h"

#include "core/base/error.h"
#include "core/wire/cursor.h"
#include "core/wire/schema.h"

namespace monolith {

uint32_t DataSourceKeyOf(RecordType type, std::string_view payload) {
  const uint32_t wanted = wire::Key(type == RecordType::kInstance ? schema::instance::kDataSourceKey
                                                                  : schema::example::kDataSourceKey,
                                    wire::Type::kVarint);
  uint32_t key = 0;
  wire::Cursor c(payload);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    tag == wanted ? void(key = static_cast<uint32_t>(c.Varint())) : c.Skip(tag);
  }
  return key;
}

Tag::Tag(RecordType type) : type_(type), patch_(type), place_(patch_.Want(*FindLineIdField("data_source_name"))) {
  if (type == RecordType::kExampleBatch)
    throw Error(ErrorCode::kUsage,
                "pb-merge --tag works on single records, not on example_batch; expand it first: pb-convert --from "
                "example_batch --to example …");
}

void Tag::Process(const Record& record, RecordSink* next) {
  text_ = "data_source" + std::to_string(DataSourceKeyOf(type_, record.payload));
  patch_.Load(record.payload);
  patch_.SetString(place_, text_);
  patch_.Write(record, next);
}

}  // namespace monolith
