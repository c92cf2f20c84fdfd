#include "core/operators/predicate.h"

#include "core/base/error.h"

namespace monolith {
namespace {

using Source = Predicate::Source;

// Whether a list of fixed-width numbers holds exactly one.
template <class T>
bool OnlyNumber(const FeatureValue& list, const char* origin, T* value) {
  size_t n = 0;
  ForEachFixedRun<sizeof(T)>(list.bytes, schema::kListValue, origin, [&](std::string_view run) {
    n += run.size() / sizeof(T);
    if (!run.empty()) *value = LoadLe<T>(run.data());
  });
  return n == 1;
}

bool Ints(const Relation& relation, const FeatureValue& list, const char* origin, bool fallback) {
  if (relation.of_list()) {
    thread_local std::vector<int64_t> values;
    values.clear();
    ForEachVarintOf(list.bytes, schema::kListValue, origin, [](uint64_t v) { values.push_back(static_cast<int64_t>(v)); });
    return values.empty() ? fallback : relation.List(values);
  }
  size_t n = 0;
  int64_t value = 0;
  ForEachVarintOf(list.bytes, schema::kListValue, origin, [&](uint64_t v) { value = static_cast<int64_t>(v), ++n; });
  return n == 1 ? relation.Int(value) : fallback;
}

bool Bytes(const Relation& relation, const FeatureValue& list, const char* origin, bool fallback) {
  size_t n = 0;
  std::string_view value;
  ForEachBytesOf(list.bytes, schema::kListValue, origin, [&](std::string_view v) { value = v, ++n; });
  return n == 1 ? relation.String(value) : fallback;
}

bool FeatureHolds(const Predicate& p, RecordView& view, bool fallback) {
  const FeatureValue value = view.Feature(p.place);
  const char* const origin = view.origin();
  switch (p.type) {
    case FeatureType::kInt64:
      return value.number == schema::feature::kInt64List ? Ints(*p.relation, value, origin, fallback) : fallback;
    case FeatureType::kFloat: {
      float v = 0;
      if (value.number != schema::feature::kFloatList || !OnlyNumber(value, origin, &v)) return fallback;
      return p.relation->Float(v);
    }
    case FeatureType::kDouble: {
      double v = 0;
      if (value.number != schema::feature::kDoubleList || !OnlyNumber(value, origin, &v)) return fallback;
      return p.relation->Double(v);
    }
    case FeatureType::kBytes:
      return value.number == schema::feature::kBytesList ? Bytes(*p.relation, value, origin, fallback) : fallback;
  }
  return fallback;
}

[[noreturn]] void Fail(const std::string& what) { throw Error(ErrorCode::kUsage, what); }

Predicate OnField(const std::string& name, RecordView* view) {
  Predicate p;
  const LineIdField* field = FindLineIdField(name);
  if (!field) {
    std::vector<std::string_view> names;
    std::string all;
    for (const LineIdField& f : kLineIdFields) names.push_back(f.name);
    for (std::string_view n : names) all.append(all.empty() ? "" : ", ").append(n);
    const std::string_view nearest = NearestName(name, names);
    Fail("--field: unknown field \"" + name + "\"; " +
         (nearest.empty() ? "known are " + all : "did you mean " + std::string(nearest) + "?"));
  }
  const std::optional<Source> source = SourceOf(*field);
  if (!source) Fail("--field: no operator works on " + name + ", a repeated field that is not of integers");
  if (field->kind == FieldKind::kBool)
    Fail("--field: no operator works on " + name + ", a bool; use --where " + name + " or --where 'not " + name + "'");
  p.source = *source;
  p.place = view->WantLineId(*field);
  return p;
}

Predicate OnFeature(const ValueFilter& filter, RecordView* view) {
  if (view->type() != RecordType::kExample)
    Fail("--feature: named features are there in an example alone, not in an " + std::string(RecordTypeName(view->type())) +
         " (--type example)");
  const std::optional<FeatureType> type = ParseFeatureType(filter.feature_type);
  if (!type) Fail("--feature-type: choose int64, float, double or bytes, not \"" + filter.feature_type + "\"");
  Predicate p;
  p.source = Source::kFeature;
  p.type = *type;
  p.place = view->WantFeature(filter.feature);
  return p;
}

}  // namespace

std::optional<FeatureType> ParseFeatureType(std::string_view name) {
  if (name == "int64") return FeatureType::kInt64;
  if (name == "float") return FeatureType::kFloat;
  if (name == "double") return FeatureType::kDouble;
  if (name == "bytes") return FeatureType::kBytes;
  return std::nullopt;
}

std::optional<Source> SourceOf(const LineIdField& field) {
  switch (field.kind) {
    case FieldKind::kFloat: return field.repeated ? std::nullopt : std::optional(Source::kFloat);
    case FieldKind::kDouble: return field.repeated ? std::nullopt : std::optional(Source::kDouble);
    case FieldKind::kString: return field.repeated ? std::nullopt : std::optional(Source::kString);
    case FieldKind::kBool: return field.repeated ? std::nullopt : std::optional(Source::kInt);
    case FieldKind::kUint64: case FieldKind::kVarUint64: return field.repeated ? Source::kList : Source::kUint;
    default: return field.repeated ? Source::kList : Source::kInt;
  }
}

OperandType OperandTypeOf(Source source, FeatureType type, RelOp op) {
  switch (source) {
    case Source::kUint: return OperandType::kUint;
    case Source::kFloat: case Source::kLabel: case Source::kWeight: return OperandType::kFloat;
    case Source::kDouble: return OperandType::kDouble;
    case Source::kString: return OperandType::kString;
    case Source::kList: return OperandType::kIntList;
    case Source::kFeature:
      switch (type) {
        case FeatureType::kFloat: return OperandType::kFloat;
        case FeatureType::kDouble: return OperandType::kDouble;
        case FeatureType::kBytes: return OperandType::kString;
        default: return op >= RelOp::kAny ? OperandType::kIntList : OperandType::kInt;
      }
    default: return OperandType::kInt;
  }
}

bool Predicate::Holds(RecordView& view, bool keep_empty) const {
  const LineIdReader& line_id = view.line_id();
  switch (source) {
    case Source::kInt: return relation->Int(line_id.Int(place));
    case Source::kUint: return relation->Uint(line_id.Uint(place));
    case Source::kFloat: return relation->Float(line_id.Float(place));
    case Source::kDouble: return relation->Double(line_id.Double(place));
    case Source::kString: return relation->String(line_id.String(place));
    case Source::kList: {
      const std::vector<int64_t>& list = line_id.List(place);
      return list.empty() ? keep_empty : relation->List(list);
    }
    case Source::kLabel: {
      const std::vector<float>& labels = view.labels();
      return static_cast<size_t>(place) < labels.size() && relation->Float(labels[static_cast<size_t>(place)]);
    }
    case Source::kWeight: return relation->Float(view.weight());
    case Source::kHasSlot: return view.HasSlot(static_cast<uint32_t>(id));
    case Source::kHasFid: return view.HasFid(id);
    case Source::kFeature: return FeatureHolds(*this, view, keep_empty);
  }
  return false;
}

Predicate MakePredicate(const ValueFilter& filter, RecordView* view) {
  const bool on_field = !filter.field.empty();
  const std::string option = on_field ? "--field " + filter.field : "--feature " + filter.feature;
  Predicate p = on_field ? OnField(filter.field, view) : OnFeature(filter, view);
  RelOp op = RelOp::kEq;
  try {
    op = ParseRelOp(filter.op);
  } catch (const Error& e) {
    Fail("--op: " + std::string(e.what()));
  }
  const OperandType type = OperandTypeOf(p.source, p.type, op);
  const bool from_file = !filter.values_file.empty();
  if (from_file && op != RelOp::kIn && op != RelOp::kNotIn)
    Fail("--values-file: goes with --op in or not-in, not " + filter.op);
  if (from_file && p.source == Source::kFeature && p.type == FeatureType::kDouble)
    Fail("--values-file: no file holds values for a feature of type double");
  try {
    p.relation = MakeRelation(
        op, from_file ? ReadOperandFile(type, filter.values_file) : ParseOperands(type, filter.values));
  } catch (const Error& e) {
    throw Error(e.code(), (from_file ? "--values-file: " : option + ": ") + e.what());
  }
  return p;
}

}  // namespace monolith
