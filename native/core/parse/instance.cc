#include "core/base/fid.h"
#include "core/parse/plan.h"
#include "core/parse/quantised.h"

namespace monolith {

using wire::Cursor;
using wire::Key;
using wire::Type;

void ParseRun::AppendV2(std::string_view fids, std::vector<int64_t>* to) {
  const size_t n = to->size();
  to->resize(n + fids.size() / 8);
  if (!fids.empty()) std::memcpy(to->data() + n, fids.data(), fids.size());
}

void ParseRun::AppendV1(std::string_view fids, std::vector<int64_t>* to) {
  const size_t n = to->size();
  to->resize(n + fids.size() / 8);
  for (size_t i = 0; i < fids.size() / 8; ++i)
    (*to)[n + i] = static_cast<int64_t>(fid::V1ToV2(LoadLe<uint64_t>(fids.data() + 8 * i)));
}

void ParseRun::Instance(std::string_view record, size_t row) {
  using namespace schema::instance;
  origin_ = record.data();
  const bool slots = !plan_.spec.fidv1.empty(), names = plan_.names.size() > 0, labels = plan_.label >= 0;
  const auto add_fids = [&](std::string_view fids) {
    for (size_t i = 0; i < fids.size(); i += 8) {
      const uint64_t f = LoadLe<uint64_t>(fids.data() + i);
      const int column = plan_.column_of_slot[fid::SlotV1(f)];
      if (column < 0) continue;
      out_->sparse[column].values.push_back(static_cast<int64_t>(plan_.v1_to_v2 ? fid::V1ToV2(f) : f));
      EndRow(&out_->sparse[column], row);
    }
  };
  labels_.clear();
  weight_ = 1.0f;
  if (!plan_.extras.empty()) line_id_.Reset();
  Cursor c(record);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    switch (tag) {
      case Key(kFid, Type::kBytes): {
        const std::string_view run = c.Bytes();
        if (slots) add_fids(wire::PackedOf(run, 8, c));
        break;
      }
      case Key(kFid, Type::kFixed64): add_fids(c.Fixed64()); break;
      case Key(kFeature, Type::kBytes): {
        const std::string_view column = c.Bytes();
        if (names) InstanceColumn(column, row);
        break;
      }
      case Key(kLineId, Type::kBytes): {
        const std::string_view line_id = c.Bytes();
        if (!plan_.extras.empty()) line_id_.Merge(line_id, origin_);
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
  if (labels) FillLabel(row, 0.0f);
  if (plan_.weight >= 0) {
    DenseColumn& weight = out_->dense[plan_.weight];
    weight.floats[row * weight.width] = weight_;
  }
  if (!plan_.extras.empty()) FillExtra(row);
}

void ParseRun::InstanceColumn(std::string_view column, size_t row) {
  std::string_view name;
  Cursor c(column, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    if (tag == Key(schema::column::kName, Type::kBytes)) {
      name = c.Bytes();
    } else {
      c.Skip(tag);
    }
  }
  const int number = plan_.names.Find(name);
  if (number == NameTable::kAbsent) return;
  const ParsePlan::Target& target = plan_.targets[number];
  if (target.sparse >= 0) {
    InstanceSparse(column, &out_->sparse[target.sparse]);
    EndRow(&out_->sparse[target.sparse], row);
  }
  if (target.dense >= 0) InstanceDense(column, plan_.names.name(number), &out_->dense[target.dense], row);
}

// `fid` comes before `fid_list`, wherever they stand in the message.
void ParseRun::InstanceSparse(std::string_view column, SparseColumn* to) {
  bool lists = false;
  Cursor c(column, origin_);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    switch (tag) {
      case Key(schema::column::kFid, Type::kBytes): {
        const std::string_view run = c.Bytes();
        AppendV2(wire::PackedOf(run, 8, c), &to->values);
        break;
      }
      case Key(schema::column::kFid, Type::kFixed64): AppendV2(c.Fixed64(), &to->values); break;
      case Key(schema::column::kFidList, Type::kBytes): c.Bytes(); lists = true; break;
      default: c.Skip(tag);
    }
  }
  if (!lists) return;
  ForEachBytesOf(column, schema::column::kFidList, origin_, [&](std::string_view list) {
    ForEachFixedRun<8>(list, schema::kListValue, origin_, [&](std::string_view run) { AppendV2(run, &to->values); });
  });
}

void ParseRun::InstanceDense(std::string_view column, const std::string& name, DenseColumn* to, size_t row) {
  const size_t width = static_cast<size_t>(to->width), at = row * width;
  size_t n = 0;
  switch (to->type) {
    case ColumnType::kInt64:
      ForEachVarintOf(column, schema::column::kInt64Value, origin_, [&](uint64_t v) {
        if (n < width) to->ints[at + n] = static_cast<int64_t>(v);
        ++n;
      });
      if (n != width) std::fill_n(to->ints.begin() + at, width, 0);
      return;
    case ColumnType::kString:
      ForEachBytesOf(column, schema::column::kBytesValue, origin_, [&](std::string_view v) {
        if (n < width) to->strings[at + n] = v;
        ++n;
      });
      if (n != width) std::fill_n(to->strings.begin() + at, width, std::string_view());
      return;
    case ColumnType::kFloat: break;
  }
  float* floats = &to->floats[at];
  std::string_view quantised;
  Cursor c(column, origin_);
  const auto add = [&](std::string_view run) {
    const size_t m = run.size() / 4;
    if (m && n + m <= width) std::memcpy(floats + n, run.data(), run.size());
    n += m;
  };
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    switch (tag) {
      case Key(schema::column::kFloatValue, Type::kBytes): {
        const std::string_view run = c.Bytes();
        add(wire::PackedOf(run, 4, c));
        break;
      }
      case Key(schema::column::kFloatValue, Type::kFixed32): add(c.Fixed32()); break;
      case Key(schema::column::kBytesValue, Type::kBytes): {
        // The last value with the marker counts, even when nothing stands behind it.
        const std::string_view bytes = c.Bytes();
        if (bytes.substr(0, kQuantisedMarker.size()) == kQuantisedMarker) quantised = bytes;
        break;
      }
      default: c.Skip(tag);
    }
  }
  if (IsQuantised(quantised)) {
    const size_t size = QuantisedSize(quantised);
    if (size != width)
      throw BadRecord("feature " + name + ": a quantised column of " + std::to_string(size) + " values, wanted are " +
                      std::to_string(width));
    DecodeQuantised(quantised, floats);
  } else if (n != width) {
    std::fill_n(floats, width, 0.0f);
  }
}

}  // namespace monolith
