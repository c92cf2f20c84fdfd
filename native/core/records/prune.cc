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

bool IsRowField(uint32_t number) {
  return number == schema::example::kLineId || number == schema::example::kLabel ||
         number == schema::example::kInstanceWeight || number == schema::example::kDataSourceKey;
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
    if (f.number == drop || (view->has_reserved && IsRowField(f.number))) continue;
    out->append(f.Whole());
  }
  if (view->has_reserved) WriteRowFields(view->row, view->data_source_key, out);
}

void PruneExampleBatch(std::string_view batch, Pruning pruning, std::string* out) {
  namespace eb = schema::example_batch;
  Reader reader(batch);
  Field f;
  while (reader.Next(&f)) {
    if (pruning == Pruning::kRawFeature && f.number == eb::kNamedRawFeatureList) continue;
    if (pruning == Pruning::kFeature && f.number == eb::kNamedFeatureList && f.type == Type::kBytes &&
        !IsReservedColumn(f.bytes))
      continue;
    out->append(f.Whole());
  }
}

}  // namespace monolith
