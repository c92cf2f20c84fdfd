#pragma once

#include <vector>

#include "core/records/pieces.h"

namespace monolith {

struct NamedFeatureView {
  std::string_view name;
  std::string_view feature;  // the Feature message (of a raw one: RawFeature)
  uint64_t id = 0;           // as a varint holds it: sign-extended
};

// Reads a NamedFeature or NamedRawFeature (the numbers of name, feature and id are the same); checks the name.
NamedFeatureView ReadNamedFeature(std::string_view bytes, Scratch* scratch);

// What stands for the row in an Example or in the reserved columns of an ExampleBatch.
struct RowFields {
  Merged line_id;
  Merged label;  // packed floats
  bool has_weight = false;
  float weight = 0;
};

// What a name means: kNone for an ordinary feature.
enum class Reserved { kNone, kLineId, kLabel, kInstanceWeight };
Reserved ReservedName(std::string_view name);

// Sets the field that a reserved feature stands for, in place of what was there.
void SetReserved(Reserved which, std::string_view feature, RowFields* row, Scratch* scratch);

// Appends the fields of an Example that are no features.
void WriteRowFields(const RowFields& row, uint32_t data_source_key, std::string* out);

// An Example taken apart. Reserved features are in `row`, not among `features`.
struct ExampleView {
  std::vector<NamedFeatureView> features, raw_features;
  RowFields row;
  uint32_t data_source_key = 0;
  bool has_reserved = false;  // `row` holds something that came from a reserved feature

  // Views stay valid as long as `example` and until scratch is reset. Throws BadRecord.
  void Read(std::string_view example, Scratch* scratch);
};

}  // namespace monolith
