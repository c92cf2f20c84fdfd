// Random records and statistics as Python sees them.
#include <cmath>

#include "core/records/gen.h"
#include "core/records/line_id.h"
#include "core/records/stat.h"
#include "python/bind.h"

namespace monolith {

void BindGenStat(nb::module_& m);

namespace {

std::shared_ptr<RecordReader> MakeGen(const std::string& type, uint64_t records, uint64_t seed, std::vector<uint64_t> slots,
                                      std::vector<std::pair<std::string, uint64_t>> v2_features,
                                      std::pair<size_t, size_t> fids, std::vector<std::pair<std::string, size_t>> dense,
                                      size_t labels, double positive_rate, bool learnable, uint64_t vocab, double zipf,
                                      std::vector<std::string> line_id, int64_t start_time) {
  GenOptions o;
  o.type = ParseRecordType(type);
  o.records = records;
  o.seed = seed;
  o.slots = std::move(slots);
  for (auto& [name, slot] : v2_features) o.v2_features.push_back({name, slot});
  o.min_fids = fids.first;
  o.max_fids = fids.second;
  for (auto& [name, size] : dense) o.dense.push_back({name, size});
  o.labels = labels;
  o.positive_rate = positive_rate;
  o.learnable = learnable;
  o.vocab = vocab;
  o.zipf = zipf;
  o.line_id = std::move(line_id);
  o.start_time = start_time;
  return MakeGenerator(o);
}

nb::object Text(const std::string& s) {
  return nb::steal(PyUnicode_DecodeUTF8(s.data(), static_cast<Py_ssize_t>(s.size()), "backslashreplace"));
}

nb::dict SlotDict(int version, nb::object slot, const SlotStat& s) {
  nb::dict d;
  if (version) d["version"] = version;
  d["slot"] = slot;
  d["rows"] = s.records;
  d["fids"] = s.fids;
  d["distinct"] = s.distinct.Estimate();
  return d;
}

nb::dict FeatureDict(nb::object name, const char* kind, const FeatureStat& s) {
  nb::dict d;
  d["name"] = name;
  d["kind"] = kind;
  d["rows"] = s.records;
  d["values"] = s.values;
  return d;
}

nb::dict LabelDict(const LabelStat& s) {
  nb::dict d;
  const uint64_t numbers = s.count - s.nan;
  d["count"] = s.count;
  d["nan"] = s.nan;
  d["mean"] = numbers ? nb::cast(s.sum / static_cast<double>(numbers)) : nb::none();
  d["min"] = numbers ? nb::cast(s.min) : nb::none();
  d["max"] = numbers ? nb::cast(s.max) : nb::none();
  nb::list values;
  for (const auto& [value, count] : s.values) values.append(nb::make_tuple(value, count));
  d["values"] = values;
  d["other_values"] = s.other_values;
  return d;
}

nb::dict SizesDict(const SizeHistogram& h) {
  nb::dict d;
  d["total"] = h.sum();
  d["min"] = h.min();
  d["mean"] = h.count() ? static_cast<double>(h.sum()) / static_cast<double>(h.count()) : 0.0;
  d["p50"] = h.Quantile(0.5);
  d["p99"] = h.Quantile(0.99);
  d["max"] = h.max();
  return d;
}

nb::dict LineIdDict(const StatResult& r) {
  nb::dict d, fields;
  for (const auto& [number, count] : r.line_id_fields) {
    nb::object name = Text("field_" + std::to_string(number));
    for (const LineIdField& f : kLineIdFields)
      if (f.number == number) name = Text(std::string(f.name));
    fields[name] = count;
  }
  d["rows"] = r.rows_with_line_id;
  d["fields"] = fields;
  const bool timed = r.min_req_time <= r.max_req_time;
  d["min_req_time"] = timed ? nb::cast(r.min_req_time) : nb::none();
  d["max_req_time"] = timed ? nb::cast(r.max_req_time) : nb::none();
  return d;
}

nb::dict ResultDict(const StatOperator& op) {
  const StatResult& r = op.result();
  nb::dict d;
  d["records"] = r.sizes.count();
  d["rows"] = r.rows;
  d["bytes"] = SizesDict(r.sizes);
  nb::list slots, features, labels;
  for (const auto& [key, s] : r.slots) slots.append(SlotDict(key.first, nb::cast(key.second), s));
  if (r.other_slots.fids) slots.append(SlotDict(0, nb::none(), r.other_slots));
  for (const auto& [key, s] : r.features) features.append(FeatureDict(Text(key.first), key.second, s));
  if (r.other_features.records) features.append(FeatureDict(nb::none(), "", r.other_features));
  for (const LabelStat& s : r.labels) labels.append(LabelDict(s));
  d["slots"] = slots;
  d["features"] = features;
  d["rows_with_label"] = r.rows_with_label;
  d["labels"] = labels;
  d["rows_with_instance_weight"] = r.rows_with_weight;
  d["line_id"] = LineIdDict(r);
  d["records_with_data_source_key"] = r.with_data_source_key;
  return d;
}

}  // namespace

void BindGenStat(nb::module_& m) {
  m.def("generator", &MakeGen, nb::kw_only(), nb::arg("type"), nb::arg("records"), nb::arg("seed"), nb::arg("slots"),
        nb::arg("v2_features"), nb::arg("fids"), nb::arg("dense"), nb::arg("labels"), nb::arg("positive_rate"),
        nb::arg("learnable"), nb::arg("vocab"), nb::arg("zipf"), nb::arg("line_id"), nb::arg("start_time"),
        "Random records as a reader; see monolith_cli.records.gen.");
  nb::class_<StatOperator, Operator>(m, "StatOperator", "Counts what goes in; lets nothing out.")
      .def(
          "__init__",
          [](StatOperator* self, const std::string& type) { new (self) StatOperator(ParseRecordType(type)); }, nb::arg("type"))
      .def("result", &ResultDict, "Everything counted, as a dict; see monolith_cli.records.stat.");
}

}  // namespace monolith
