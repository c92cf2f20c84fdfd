#include "core/parse/parse.h"

#include <algorithm>
#include <set>

#include "core/parse/plan.h"

namespace monolith {
namespace {

[[noreturn]] void Reject(const std::string& what) { throw Error(ErrorCode::kConfig, what); }

ColumnType TypeOf(const LineIdField& field) {
  if (field.kind == FieldKind::kFloat) return ColumnType::kFloat;
  return field.kind == FieldKind::kString ? ColumnType::kString : ColumnType::kInt64;
}

void CheckWidth(const std::string& name, int64_t width) {
  if (width < 1) Reject("feature " + name + ": its shape must be at least 1, not " + std::to_string(width));
}

void Resize(DenseColumn* column, size_t rows) {
  const size_t n = rows * static_cast<size_t>(column->width);
  switch (column->type) {
    case ColumnType::kFloat: column->floats.resize(n); break;
    case ColumnType::kInt64: column->ints.resize(n); break;
    case ColumnType::kString: column->strings.resize(n); break;
  }
}

}  // namespace

ParsePlan::ParsePlan(ParseSpec wanted) : spec(std::move(wanted)) {
  column_of_slot.fill(-1);
  std::set<std::string> all;
  const auto unique = [&](const std::string& name) {
    if (!all.insert(name).second) Reject("feature " + name + " is wanted twice; names must be unique");
  };
  const bool instance = spec.type == RecordType::kInstance;
  if (!instance && !spec.fidv1.empty())
    Reject("slots of v1 fids are a matter of instances; of examples, name the features");
  v1_to_v2 = !spec.fidv2.empty();
  int sparse = 0;
  for (const ParseSpec::Slot& slot : spec.fidv1) {
    unique(slot.name);
    if (slot.slot < 0 || slot.slot >= static_cast<int>(column_of_slot.size()))
      Reject("feature " + slot.name + ": slot should be less than 1024, while got " + std::to_string(slot.slot));
    if (column_of_slot[slot.slot] >= 0) Reject("slot " + std::to_string(slot.slot) + " is wanted twice");
    column_of_slot[slot.slot] = static_cast<int16_t>(sparse++);
  }
  for (const std::string& name : spec.fidv2) {
    unique(name);
    Target target;
    target.sparse = sparse++;
    AddName(name, target);
  }
  for (size_t i = 0; i < spec.dense.size(); ++i) {
    const ParseSpec::Dense& dense = spec.dense[i];
    unique(dense.name);
    CheckWidth(dense.name, dense.width);
    const bool is_label = dense.name == "label", is_weight = dense.name == schema::kInstanceWeightName;
    if ((is_label || is_weight) && dense.type != ColumnType::kFloat) Reject("feature " + dense.name + " must be float");
    if (!instance && dense.type == ColumnType::kString && dense.width != 1)
      Reject("feature " + dense.name + ": strings of examples have shape 1, not " + std::to_string(dense.width));
    if (is_label) label = static_cast<int>(i);
    if (is_weight) weight = static_cast<int>(i);
    if (instance && (is_label || is_weight)) continue;
    Target target;
    target.dense = static_cast<int>(i);
    AddName(dense.name, target);
  }
  for (const ParseSpec::Extra& extra : spec.extra) {
    unique(extra.name);
    CheckWidth(extra.name, extra.width);
    const LineIdField* field = FindLineIdField(extra.name);
    if (!field || field->kind == FieldKind::kBool || field->kind == FieldKind::kDouble)
      Reject("extra feature " + extra.name + " is not in line id");
    extras.push_back({field, line_id.Want(*field)});
  }
  if (instance) return;
  const auto reserve = [&](const char* name, Reserved reserved) {
    Target target;
    target.reserved = reserved;
    AddName(name, target);
  };
  if (!extras.empty()) reserve(schema::kLineIdName, Reserved::kLineId);
  if (label >= 0) reserve(schema::kLabelName, Reserved::kLabel);
  if (weight >= 0) reserve(schema::kInstanceWeightName, Reserved::kWeight);
  label_name = names.Find("label");
  weight_name = names.Find(schema::kInstanceWeightName);
}

void ParsePlan::AddName(const std::string& name, Target target) {
  const size_t number = static_cast<size_t>(names.Add(name));
  if (number == targets.size()) {
    targets.push_back(target);
  } else {
    targets[number].reserved = target.reserved;
  }
}

ParseRun::ParseRun(const ParsePlan& plan, ParsedColumns* out) : plan_(plan), out_(out), line_id_(plan.line_id) {
  seen_in_.assign(plan.targets.size(), 0);
  begin_.assign(plan.targets.size(), 0);
}

void ParseRun::CloseRows() {
  for (SparseColumn& c : out_->sparse) {
    int64_t size = 0;
    for (int64_t& split : c.row_splits) split = size = std::max(size, split);
  }
}

void ParseRun::AddRows(size_t n) {
  out_->rows += n;
  for (SparseColumn& c : out_->sparse) c.row_splits.resize(out_->rows + 1);
  for (DenseColumn& c : out_->dense) Resize(&c, out_->rows);
  for (DenseColumn& c : out_->extra) Resize(&c, out_->rows);
}

void ParseRun::AddLabels(std::string_view floats) {
  for (size_t i = 0; i < floats.size(); i += 4) labels_.push_back(LoadLe<float>(floats.data() + i));
}

void ParseRun::FillLabel(size_t row, float missing) {
  DenseColumn& column = out_->dense[plan_.label];
  float* to = &column.floats[row * column.width];
  const size_t n = std::min(labels_.size(), static_cast<size_t>(column.width));
  std::copy_n(labels_.begin(), n, to);
  std::fill(to + n, to + column.width, missing);
}

void ParseRun::FillExtra(size_t row) {
  for (size_t k = 0; k < plan_.extras.size(); ++k) {
    const ParsePlan::Extra& extra = plan_.extras[k];
    DenseColumn& column = out_->extra[k];
    const size_t at = row * column.width;
    if (extra.field->repeated) {
      const std::vector<int64_t>& list = line_id_.List(extra.place);
      std::copy_n(list.begin(), std::min(list.size(), static_cast<size_t>(column.width)), column.ints.begin() + at);
    } else if (column.type == ColumnType::kFloat) {
      column.floats[at] = line_id_.Float(extra.place);
    } else if (column.type == ColumnType::kString) {
      column.strings[at] = line_id_.String(extra.place);
    } else {
      column.ints[at] = line_id_.Int(extra.place);
    }
  }
}

RecordParser::RecordParser(ParseSpec spec) : plan_(std::make_unique<const Plan>(std::move(spec))) {}
RecordParser::~RecordParser() = default;
RecordParser::RecordParser(RecordParser&&) noexcept = default;

const ParseSpec& RecordParser::spec() const { return plan_->spec; }

ParsedColumns RecordParser::Layout() const {
  const ParseSpec& spec = plan_->spec;
  ParsedColumns out;
  for (const ParseSpec::Slot& slot : spec.fidv1) out.sparse.push_back({slot.name, {}, {}});
  for (const std::string& name : spec.fidv2) out.sparse.push_back({name, {}, {}});
  const auto dense = [](const std::string& name, ColumnType type, int64_t width) {
    DenseColumn column;
    column.name = name, column.type = type, column.width = width;
    return column;
  };
  for (const ParseSpec::Dense& d : spec.dense) out.dense.push_back(dense(d.name, d.type, d.width));
  for (size_t i = 0; i < spec.extra.size(); ++i)
    out.extra.push_back(dense(spec.extra[i].name, TypeOf(*plan_->extras[i].field), spec.extra[i].width));
  return out;
}

void RecordParser::Parse(const RecordBatch& batch, ParsedColumns* out) const {
  if (batch.type != plan_->spec.type)
    Reject(std::string("the stream holds records of type ") + RecordTypeName(batch.type) + ", the model parses " +
           RecordTypeName(plan_->spec.type));
  std::vector<std::string_view> records(batch.size());
  for (size_t i = 0; i < records.size(); ++i) records[i] = batch.record(i);
  size_t at = 0;
  try {
    ParseEach(records.data(), records.size(), out, &at);
  } catch (const BadRecord& e) {
    throw BadRecord(batch.Place(at) + ": " + e.what() + BadRecords::kHint);
  }
}

void RecordParser::Parse(const std::string_view* records, size_t n, ParsedColumns* out) const {
  size_t at = 0;
  try {
    ParseEach(records, n, out, &at);
  } catch (const BadRecord& e) {
    throw BadRecord("record " + std::to_string(at) + ": " + e.what());
  }
}

void RecordParser::Check(std::string_view record, ParsedColumns* scratch) const {
  size_t at = 0;
  ParseEach(&record, 1, scratch, &at);
}

// *at: the record that is parsed.
void RecordParser::ParseEach(const std::string_view* records, size_t n, ParsedColumns* out, size_t* at) const {
  const ParseSpec& spec = plan_->spec;
  if (out->sparse.size() != spec.fidv1.size() + spec.fidv2.size() || out->dense.size() != spec.dense.size() ||
      out->extra.size() != spec.extra.size())
    *out = Layout();
  out->rows = 0;
  out->storage.clear();
  for (SparseColumn& c : out->sparse) c.values.clear(), c.row_splits.assign(1, 0);
  const auto clear = [](DenseColumn& c) { c.floats.clear(), c.ints.clear(), c.strings.clear(); };
  std::for_each(out->dense.begin(), out->dense.end(), clear);
  std::for_each(out->extra.begin(), out->extra.end(), clear);

  ParseRun run(*plan_, out);
  size_t& i = *at;
  if (spec.type == RecordType::kExampleBatch) {
    for (; i < n; ++i) run.ExampleBatch(records[i]);
    return;
  }
  run.AddRows(n);
  if (spec.type == RecordType::kInstance) {
    for (; i < n; ++i) run.Instance(records[i], i);
  } else {
    for (; i < n; ++i) run.Example(records[i], i);
  }
  run.CloseRows();
}

}  // namespace monolith
