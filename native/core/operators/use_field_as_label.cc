#include "core/operators/use_field_as_label.h"

#include "core/operators/line_id_choice.h"

namespace monolith {

UseFieldAsLabel::UseFieldAsLabel(RecordType type, std::string_view field, std::optional<float> zero_from)
    : LabelOperator(type),
      field_(ChooseLineIdField(field, "a number", [](const LineIdField& f) { return f.kind != FieldKind::kString; })),
      place_(view_.WantLineId(field_)),
      zero_from_(zero_from) {}

float UseFieldAsLabel::Value() const {
  switch (field_.kind) {
    case FieldKind::kFloat: return view_.line_id().Float(place_);
    case FieldKind::kDouble: return static_cast<float>(view_.line_id().Double(place_));
    case FieldKind::kUint32:
    case FieldKind::kVarUint64:
    case FieldKind::kUint64: return static_cast<float>(view_.line_id().Uint(place_));
    default: return static_cast<float>(view_.line_id().Int(place_));
  }
}

void UseFieldAsLabel::Relabel(std::vector<float>* labels) {
  float value = Value();
  if (zero_from_ && value >= *zero_from_) value = 0;
  for (float& label : *labels)
    if (label < value) label = value;
}

}  // namespace monolith
