#include "core/records/stat.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/base/fid.h"
#include "core/base/random.h"
#include "core/records/batch_rows.h"

namespace monolith {

using wire::Field;
using wire::Reader;
using wire::Type;

void DistinctCounter::Add(uint64_t value) {
  if (registers_.empty()) registers_.assign(size_t{1} << kBits, 0);
  const uint64_t hash = SplitMix64(&value);
  const auto rank = static_cast<uint8_t>(__builtin_clzll(hash << kBits | 1) + 1);
  uint8_t& r = registers_[hash >> (64 - kBits)];
  r = std::max(r, rank);
}

uint64_t DistinctCounter::Estimate() const {
  if (registers_.empty()) return 0;
  const double m = static_cast<double>(registers_.size());
  double sum = 0;
  size_t zeros = 0;
  for (const uint8_t r : registers_) {
    sum += std::ldexp(1.0, -r);
    zeros += r == 0;
  }
  const double raw = 0.7213 / (1 + 1.079 / m) * m * m / sum;
  // Few values leave registers empty: how many is the better measure then.
  return static_cast<uint64_t>(std::llround(raw <= 2.5 * m && zeros ? m * std::log(m / static_cast<double>(zeros)) : raw));
}

// 32 steps for each doubling; sizes below 32 have one each.
size_t SizeHistogram::Step(uint64_t size) {
  if (size < 32) return size;
  const int top = 63 - __builtin_clzll(size);
  return static_cast<size_t>(top - 4) * 32 + (size >> (top - 5) & 31);
}

uint64_t SizeHistogram::UpperEnd(size_t step) {
  if (step < 32) return step;
  const size_t top = step / 32 + 4;
  return ((32 + step % 32 + 1) << (top - 5)) - 1;
}

void SizeHistogram::Add(uint64_t size) {
  const size_t step = Step(size);
  if (step >= steps_.size()) steps_.resize(step + 1);
  ++steps_[step];
  ++count_;
  sum_ += size;
  min_ = std::min(min_, size);
  max_ = std::max(max_, size);
}

uint64_t SizeHistogram::Quantile(double q) const {
  const double wanted = q * static_cast<double>(count_);
  uint64_t seen = 0;
  for (size_t step = 0; step < steps_.size(); ++step) {
    seen += steps_[step];
    if (seen && static_cast<double>(seen) >= wanted) return std::min(UpperEnd(step), max_);
  }
  return max_;
}

namespace {

constexpr const char* kColumnKinds[] = {"fid",      "float_value", "int64_value", "bytes_value",
                                        "fid_list", "float_list",  "int64_list",  "bytes_list"};
constexpr const char* kFeatureKinds[] = {
    "unset",        "fid_v1_list", "fid_v2_list",  "float_list",  "double_list", "int64_list",  "bytes_list",  "fid_v2_lists",
    "float_lists",  "double_lists", "int64_lists", "bytes_lists", "int64_value", "float_value", "double_value", "bytes_value",
    "fid_v1_lists"};

uint64_t CountVarints(std::string_view packed) {
  return static_cast<uint64_t>(std::count_if(packed.begin(), packed.end(), [](char c) { return static_cast<int8_t>(c) >= 0; }));
}

// What one row holds, gathered before anything is counted, so that a bad record counts for nothing.
struct Row {
  struct Feature {
    std::string_view name;
    const char* kind;
    uint64_t values;
  };
  std::vector<std::pair<int, uint64_t>> fids;  // version, fid
  std::vector<Feature> features;
  RowFields fields;
  uint32_t data_source_key = 0;

  void Clear() {
    fids.clear();
    features.clear();
    fields = RowFields();
    data_source_key = 0;
  }
  void AddFids(int version, std::string_view packed) {
    for (size_t i = 0; i < packed.size(); i += 8) fids.emplace_back(version, LoadLe<uint64_t>(packed.data() + i));
  }
};

uint64_t CountElements(std::string_view elements, Type own) {
  return own == Type::kVarint ? CountVarints(elements) : elements.size() / (own == Type::kFixed64 ? 8 : 4);
}

// Values of a list message (`repeated value = 1`); fids among them go to the row when version is not 0.
uint64_t ScanList(std::string_view list, Type own, int version, Row* row) {
  uint64_t n = 0;
  std::string_view elements;
  Reader reader(list);
  Field f;
  while (reader.Next(&f)) {
    if (f.number != schema::kListValue) continue;
    if (own == Type::kBytes) {
      n += f.type == Type::kBytes;
    } else if (Elements(f, own, &elements)) {
      n += CountElements(elements, own);
      if (version) row->AddFids(version, elements);
    }
  }
  return n;
}

uint64_t ScanLists(std::string_view lists, Type own, int version, Row* row) {
  uint64_t n = 0;
  Reader reader(lists);
  Field f;
  while (reader.Next(&f))
    if (f.number == schema::kListsList && f.type == Type::kBytes) n += ScanList(f.bytes, own, version, row);
  return n;
}

int FidVersion(uint32_t kind) {
  namespace fk = schema::feature;
  return kind == fk::kFidV1List || kind == fk::kFidV1Lists ? 1 : kind == fk::kFidV2List || kind == fk::kFidV2Lists ? 2 : 0;
}

void ScanFeature(std::string_view name, std::string_view feature, Row* row, Scratch* scratch) {
  namespace fk = schema::feature;
  const FeatureContent value = ReadFeature(feature, scratch);
  uint64_t n = 0;
  if (value.kind >= fk::kFidV1List && value.kind <= fk::kBytesList)
    n = ScanList(value.content, ElementType(value.kind), FidVersion(value.kind), row);
  else if (value.kind >= fk::kInt64Value && value.kind <= fk::kBytesValue)
    n = 1;
  else if (value.kind)
    n = ScanLists(value.content, ElementType(value.kind), FidVersion(value.kind), row);
  row->features.push_back({name, kFeatureKinds[value.kind], n});
}

void ScanColumn(std::string_view bytes, Row* row) {
  namespace ck = schema::column;
  static constexpr Type kOwn[] = {Type::kFixed64, Type::kFixed32, Type::kVarint, Type::kBytes};
  std::string_view name, elements;
  uint64_t values[8] = {};
  bool present[8] = {};
  Reader reader(bytes);
  Field f;
  while (reader.Next(&f)) {
    if (f.number == ck::kName && f.type == Type::kBytes) name = f.bytes;
    if (f.number < ck::kFid || f.number > ck::kBytesList) continue;
    const uint32_t i = f.number - ck::kFid;
    const Type own = kOwn[i % 4];
    const int version = i % 4 == 0 ? 2 : 0;
    if (i >= 4 || own == Type::kBytes) {
      if (f.type != Type::kBytes) continue;
      values[i] += i >= 4 ? ScanList(f.bytes, own, version, row) : 1;
      present[i] = true;
    } else if (Elements(f, own, &elements) && !elements.empty()) {
      values[i] += CountElements(elements, own);
      present[i] = true;
      if (version) row->AddFids(version, elements);
    }
  }
  bool any = false;
  for (int i = 0; i < 8; ++i) {
    if (present[i]) row->features.push_back({name, kColumnKinds[i], values[i]});
    any = any || present[i];
  }
  if (!any) row->features.push_back({name, kFeatureKinds[0], 0});
}

void ScanInstance(std::string_view instance, Row* row, Scratch* scratch) {
  namespace in = schema::instance;
  std::string_view fids;
  Reader reader(instance);
  Field f;
  while (reader.Next(&f)) {
    switch (f.number) {
      case in::kFid:
        if (Elements(f, Type::kFixed64, &fids)) row->AddFids(1, fids);
        break;
      case in::kLabel: AddElements(f, Type::kFixed32, &row->fields.label, scratch); break;
      case in::kInstanceWeight: row->fields.has_weight |= f.type == Type::kFixed32; break;
      case in::kLineId:
        if (f.type == Type::kBytes) row->fields.line_id.Add(f.bytes, scratch);
        break;
      case in::kFeature:
        if (f.type == Type::kBytes) ScanColumn(f.bytes, row);
        break;
      case in::kDataSourceKey:
        if (f.type == Type::kVarint) row->data_source_key = static_cast<uint32_t>(f.scalar);
        break;
      default: break;
    }
  }
  CheckLineId(row->fields.line_id.view());
}

}  // namespace

class StatOperator::Impl {
 public:
  explicit Impl(RecordType type) : type_(type), slots_v1_(fid::kSlotsV1), slots_v2_(2 * fid::kSlotsV2), rows_(Pruning::kAsIs) {}

  void Process(std::string_view payload);
  const StatResult& result() const { return result_; }

 private:
  struct Seen {
    std::string_view name;
    const char* kind;
    FeatureStat* stat;
  };

  void ProcessBatch(std::string_view payload);
  void Count();
  SlotStat* Slot(int version, uint64_t fid);
  FeatureStat* Feature(const Row::Feature& feature, size_t position);
  void CountLabels();
  void CountLineId();

  RecordType type_;
  StatResult result_;
  std::vector<SlotStat*> slots_v1_, slots_v2_;
  std::vector<Seen> seen_;  // features by position in the row before: rows tend to look alike
  Row row_;
  Scratch scratch_;
  ExampleView view_;
  BatchRows rows_;
};

SlotStat* StatOperator::Impl::Slot(int version, uint64_t f) {
  const uint64_t slot = version == 1 ? fid::SlotV1(f) : f >> fid::kSignatureBitsV2;
  SlotStat*& stat = (version == 1 ? slots_v1_ : slots_v2_)[slot];
  if (!stat)
    stat = result_.slots.size() < StatResult::kMaxSlots ? &result_.slots[{version, slot}] : &result_.other_slots;
  return stat;
}

FeatureStat* StatOperator::Impl::Feature(const Row::Feature& feature, size_t position) {
  if (position < seen_.size() && seen_[position].kind == feature.kind && seen_[position].name == feature.name)
    return seen_[position].stat;
  auto it = result_.features.find({std::string(feature.name), feature.kind});
  if (it == result_.features.end()) {
    if (result_.features.size() >= StatResult::kMaxNames) return &result_.other_features;
    it = result_.features.try_emplace({std::string(feature.name), feature.kind}).first;
  }
  if (position >= seen_.size() && position < StatResult::kMaxNames) seen_.resize(position + 1);
  if (position < seen_.size()) seen_[position] = {it->first.first, it->first.second, &it->second};
  return &it->second;
}

void StatOperator::Impl::CountLabels() {
  const std::string_view labels = row_.fields.label.view();
  result_.rows_with_label += !labels.empty();
  const size_t n = std::min(labels.size() / 4, StatResult::kMaxLabels);
  if (result_.labels.size() < n) result_.labels.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const float v = LoadFloat(labels, i);
    LabelStat& stat = result_.labels[i];
    ++stat.count;
    if (std::isnan(v)) {
      ++stat.nan;
      continue;
    }
    const bool first = stat.count - stat.nan == 1;
    stat.min = first ? v : std::min(stat.min, v);
    stat.max = first ? v : std::max(stat.max, v);
    stat.sum += v;
    const auto it = stat.values.find(v);
    if (it != stat.values.end())
      ++it->second;
    else if (stat.values.size() < StatResult::kMaxLabelValues)
      stat.values.emplace(v, 1);
    else
      ++stat.other_values;
  }
}

void StatOperator::Impl::CountLineId() {
  if (!row_.fields.line_id.present()) return;
  ++result_.rows_with_line_id;
  std::array<bool, 256> counted{};
  int64_t req_time = 0;
  bool timed = false;
  Reader reader(row_.fields.line_id.view());
  Field f;
  while (reader.Next(&f)) {
    if (f.number >= counted.size()) continue;
    if (f.number == schema::line_id::kReqTime && f.type == Type::kVarint) {
      req_time = f.AsInt64();
      timed = true;
    }
    if (!counted[f.number]) ++result_.line_id_fields[f.number];
    counted[f.number] = true;
  }
  if (!timed) return;
  result_.min_req_time = std::min(result_.min_req_time, req_time);
  result_.max_req_time = std::max(result_.max_req_time, req_time);
}

void StatOperator::Impl::Count() {
  const uint64_t row = ++result_.rows;
  for (const auto& [version, f] : row_.fids) {
    SlotStat* stat = Slot(version, f);
    ++stat->fids;
    stat->records += stat->last_row != row;
    stat->last_row = row;
    stat->distinct.Add(f);
  }
  size_t position = 0;
  for (const Row::Feature& feature : row_.features) {
    FeatureStat* stat = Feature(feature, position++);
    ++stat->records;
    stat->values += feature.values;
  }
  CountLabels();
  CountLineId();
  result_.rows_with_weight += row_.fields.has_weight;
}

void StatOperator::Impl::Process(std::string_view payload) {
  if (type_ == RecordType::kExampleBatch) return ProcessBatch(payload);
  scratch_.Reset();
  row_.Clear();
  if (type_ == RecordType::kInstance) {
    ScanInstance(payload, &row_, &scratch_);
  } else {
    view_.Read(payload, &scratch_);
    for (const NamedFeatureView& f : view_.features) ScanFeature(f.name, f.feature, &row_, &scratch_);
    row_.fields = view_.row;
    row_.data_source_key = view_.data_source_key;
  }
  result_.sizes.Add(payload.size());
  result_.with_data_source_key += row_.data_source_key != 0;
  Count();
}

void StatOperator::Impl::ProcessBatch(std::string_view payload) {
  rows_.Read(payload);
  result_.sizes.Add(payload.size());
  result_.with_data_source_key += rows_.data_source_key() != 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    scratch_.Reset();
    row_.Clear();
    for (const auto& column : rows_.columns())
      if (column.reserved == Reserved::kNone && (i == 0 || !column.shared))
        ScanFeature(column.name, rows_.Cell(column, i), &row_, &scratch_);
    row_.fields = rows_.ReadRowFields(i);
    Count();
  }
}

StatOperator::StatOperator(RecordType type) : impl_(std::make_unique<Impl>(type)) {}

StatOperator::~StatOperator() = default;

void StatOperator::Process(const Record& record, RecordSink*) { impl_->Process(record.payload); }

const StatResult& StatOperator::result() const { return impl_->result(); }

}  // namespace monolith
