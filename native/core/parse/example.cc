#include "core/parse/plan.h"

namespace monolith {

using wire::Cursor;
using wire::Key;
using wire::Type;

void ParseRun::Example(std::string_view record, size_t row) {
  using namespace schema::example;
  origin_ = record.data();
  const bool labels = plan_.label >= 0, extras = !plan_.extras.empty();
  labels_.clear();
  weight_ = 0.0f;
  reserved_line_id_.reset();
  reserved_label_.reset();
  if (extras) line_id_.Reset();
  Cursor c(record);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    switch (tag) {
      case Key(kNamedFeature, Type::kBytes): NamedFeature(c.Bytes(), row); break;
      case Key(kLineId, Type::kBytes): {
        const std::string_view line_id = c.Bytes();
        if (extras) line_id_.Merge(line_id, origin_);
        break;
      }
      case Key(kLabel, Type::kBytes): {
        const std::string_view run = c.Bytes();
        if (labels) AddLabels(wire::PackedOf(run, 4, c));
        break;
      }
      case Key(kLabel, Type::kFixed32): AddLabels(c.Fixed32()); break;
      case Key(kInstanceWeight, Type::kFixed32): weight_ = LoadLe<float>(c.Fixed32().data()); break;
      default: c.Skip(tag);
    }
  }
  if (reserved_line_id_) TakeLineId(*reserved_line_id_);
  if (reserved_label_) TakeLabels(*reserved_label_);
  if (extras) FillExtra(row);
  if (labels && !Seen(plan_.label_name, row)) FillLabel(row, kInvalidLabel);
  if (plan_.weight >= 0 && !Seen(plan_.weight_name, row)) {
    DenseColumn& weight = out_->dense[plan_.weight];
    weight.floats[row * weight.width] = weight_ > 0 ? weight_ : 1.0f;
  }
}

void ParseRun::NamedFeature(std::string_view named_feature, size_t row) {
  using namespace schema::named_feature;
  std::string_view name, feature;
  bool several = false;
  Cursor c(named_feature, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(kName, Type::kBytes)) {
      name = c.Bytes();
    } else if (tag == Key(kFeature, Type::kBytes)) {
      several = several || feature.data();
      feature = c.Bytes();
    } else {
      c.Skip(tag);
    }
  }
  const int number = plan_.names.Find(name);
  if (number == NameTable::kAbsent) return;
  const ParsePlan::Target& target = plan_.targets[number];
  FeatureValue value;
  if (several) {
    ForEachBytesOf(named_feature, kFeature, origin_,
                   [&](std::string_view piece) { value.Merge(piece, origin_, &out_->storage); });
  } else {
    value.Merge(feature, origin_, &out_->storage);
  }
  const bool again = Seen(number, row);
  seen_in_[number] = row + 1;
  if (target.reserved == ParsePlan::Reserved::kLineId) reserved_line_id_ = value;
  if (target.reserved == ParsePlan::Reserved::kLabel) reserved_label_ = value;
  if (target.sparse >= 0) {
    SparseColumn& column = out_->sparse[target.sparse];
    if (again) column.values.resize(begin_[number]);
    begin_[number] = column.values.size();
    AppendSparse(value, plan_.names.name(number), &column);
    EndRow(&column, row);
  }
  if (target.dense >= 0) {
    DenseColumn& column = out_->dense[target.dense];
    if (again) ClearDense(&column, row);
    FillDense(value, plan_.names.name(number), &column, row);
  }
}

}  // namespace monolith
