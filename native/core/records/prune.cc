#include "core/records/prune.h"

namespace monolith {

using wire::Field;
using wire::Reader;
using wire::Type;

namespace {

bool IsReservedColumn(std::string_view column) {
  std::string_view name;
  Reader reader(column);
  Field f;
  while (reader.Next(&f))
    if (f.number == schema::named_feature_list::kName && f.type == Type::kBytes) name = f.bytes;
  return ReservedName(name) != Reserved::kNone;
}

// A field that WriteRowFields writes; with another wire type it is unknown data, which stays.
bool IsRowField(const Field& f) {
  switch (f.number) {
    case schema::example::kLineId: return f.type == Type::kBytes;
    case schema::example::kLabel: return f.type == Type::kBytes || f.type == Type::kFixed32;
    case schema::example::kInstanceWeight: return f.type == Type::kFixed32;
    case schema::example::kDataSourceKey: return f.type == Type::kVarint;
    default: return false;
  }
}

}  // namespace

void PruneExample(std::string_view example, Pruning pruning, ExampleView* view, Scratch* scratch,
                  std::string* out) {
  scratch->Reset();
  view->Read(example, scratch);
  const uint32_t drop =
      pruning == Pruning::kFeature ? schema::example::kNamedFeature : schema::example::kNamedRawFeature;
  Reader reader(example);
  Field f;
  while (reader.Next(&f)) {
    if ((f.number == drop && f.type == Type::kBytes) || (view->has_reserved && IsRowField(f))) continue;
    out->append(f.Whole());
  }
  if (view->has_reserved) WriteRowFields(view->row, view->data_source_key, out);
}

void PruneExampleBatch(std::string_view batch, Pruning pruning, std::string* out) {
  namespace eb = schema::example_batch;
  Reader reader(batch);
  Field f;
  while (reader.Next(&f)) {
    if (pruning == Pruning::kRawFeature && f.number == eb::kNamedRawFeatureList && f.type == Type::kBytes) continue;
    if (pruning == Pruning::kFeature && f.number == eb::kNamedFeatureList && f.type == Type::kBytes &&
        !IsReservedColumn(f.bytes))
      continue;
    out->append(f.Whole());
  }
}

}  // namespace monolith
