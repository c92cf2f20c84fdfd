// The filter and its configuration, one attribute for each option.
#include <nanobind/stl/tuple.h>

#include "core/operators/filter.h"
#include "python/bind.h"

namespace monolith {
namespace {

std::string Bytes(const nb::bytes& b) { return std::string(b.c_str(), b.size()); }

}  // namespace

void BindFilter(nb::module_& m) {
  nb::class_<FilterConfig>(m, "FilterConfig", "See monolith_cli.operators.filter.FilterConfig.")
      .def(
          "__init__",
          [](FilterConfig* self, const std::string& type) { (new (self) FilterConfig)->type = ParseRecordType(type); },
          nb::arg("type"))
      .def_rw("drop_empty", &FilterConfig::drop_empty)
      .def_rw("req_time_min", &FilterConfig::req_time_min, nb::arg().none())
      .def_rw("filter_fids", &FilterConfig::filter_fids)
      .def_rw("has_fids", &FilterConfig::has_fids)
      .def_rw("select_fids", &FilterConfig::select_fids)
      .def_rw("include_v2_fids", &FilterConfig::include_v2_fids)
      .def_rw("select_slots", &FilterConfig::select_slots)
      .def_rw("has_actions", &FilterConfig::has_actions)
      .def_rw("where", &FilterConfig::where)
      .def_rw("keep_empty", &FilterConfig::keep_empty)
      .def_rw("label_thresholds", &FilterConfig::label_thresholds)
      .def_rw("label_strict", &FilterConfig::label_strict)
      .def_rw("seed", &FilterConfig::seed)
      .def_rw("invert", &FilterConfig::invert)
      .def("set_rejected", [](FilterConfig& self, nb::bytes path) { self.rejected = Bytes(path); }, nb::arg("path"))
      .def(
          "set_value",
          [](FilterConfig& self, const std::string& field, nb::bytes feature, const std::string& feature_type,
             const std::string& op, const std::vector<nb::bytes>& values, nb::bytes values_file) {
            ValueFilter& value = self.value.emplace();
            value.field = field;
            value.feature = Bytes(feature);
            value.feature_type = feature_type;
            value.op = op;
            for (const nb::bytes& v : values) value.values.push_back(Bytes(v));
            value.values_file = Bytes(values_file);
          },
          nb::arg("field"), nb::arg("feature"), nb::arg("feature_type"), nb::arg("op"), nb::arg("values"),
          nb::arg("values_file"))
      .def(
          "set_special_strategy",
          [](FilterConfig& self, std::vector<int32_t> strategies,
             const std::vector<std::tuple<int32_t, float, std::optional<float>>>& rules, bool keep_empty) {
            self.special_strategy.strategies = std::move(strategies);
            for (const auto& [strategy, rate, label] : rules) self.special_strategy.rules.push_back({strategy, rate, label});
            self.special_strategy.keep_empty = keep_empty;
          },
          nb::arg("strategies"), nb::arg("rules"), nb::arg("keep_empty"))
      .def(
          "set_negative_sample",
          [](FilterConfig& self, float drop_rate, float threshold, uint32_t label_index, std::vector<int32_t> action_priority,
             const std::vector<std::pair<int32_t, float>>& action_rates) {
            NegativeSampleConfig& sample = self.negative_sample.emplace();
            sample.drop_rate = drop_rate;
            sample.threshold = threshold;
            sample.label_index = label_index;
            sample.action_priority = std::move(action_priority);
            for (const auto& [action, rate] : action_rates) sample.action_rates.push_back({action, rate});
          },
          nb::arg("drop_rate"), nb::arg("threshold"), nb::arg("label_index"),
          nb::arg("action_priority"), nb::arg("action_rates"));
  nb::class_<Filter, Operator>(m, "Filter")
      .def("__init__", [](Filter* self, const FilterConfig& config) { new (self) Filter(config); }, nb::arg("config"),
           "Keeps and drops records; raises the errors of monolith_cli.errors for a configuration that cannot be right.");
  m.def("line_id_fields", [] {
    nb::list fields;
    for (const LineIdField& f : kLineIdFields) fields.append(nb::make_tuple(std::string(f.name), f.number, f.repeated));
    return fields;
  }, "(name, number, repeated) of the fields of LineId that commands know.");
}

}  // namespace monolith
