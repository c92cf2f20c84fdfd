#include <nanobind/stl/tuple.h>

#include "core/operators/add_action.h"
#include "core/operators/add_label.h"
#include "core/operators/fill_multi_rank_output.h"
#include "core/operators/instance_reweight.h"
#include "core/operators/label_config.h"
#include "core/operators/label_normalization.h"
#include "core/operators/label_upper_bound.h"
#include "core/operators/multi_label_gen.h"
#include "core/operators/scatter_label.h"
#include "core/operators/use_field_as_label.h"
#include "python/bind.h"

namespace monolith {
namespace {

using Task = std::tuple<std::vector<int32_t>, std::vector<int32_t>, float>;
using Weight = std::tuple<int32_t, int32_t, int32_t>;
using Norm = std::pair<std::string, float>;

void BindTexts(nb::module_& m) {
  m.def("parse_tasks", [](const std::string& option, const std::string& text) {
    std::vector<Task> tasks;
    for (TaskLabel& t : ParseTasks(option, text)) tasks.emplace_back(std::move(t.positive), std::move(t.negative), t.rate);
    return tasks;
  }, nb::arg("option"), nb::arg("text"), "POS:NEG:RATE[;...] as (positive, negative, rate).");
  m.def("parse_scatter", &ParseScatter, nb::arg("option"), nb::arg("text"), "CHNID:INDEX[,...] as pairs.");
  m.def("parse_normalization", [](const std::string& option, const std::string& text) {
    std::vector<Norm> steps;
    for (const NormStep& step : ParseNormalization(option, text)) steps.emplace_back(NormMethodName(step.method), step.value);
    return steps;
  }, nb::arg("option"), nb::arg("text"), "METHOD=VALUE[,...] as pairs.");
  m.def("parse_heads", &ParseHeads, nb::arg("option"), nb::arg("text"), "HEAD=INDEX[,...] as pairs.");
  m.def("parse_reweight", [](const std::string& option, const std::string& text) {
    std::vector<Weight> weights;
    for (const ActionWeight& w : ParseReweight(option, text)) weights.emplace_back(w.action, w.weight, w.label);
    return weights;
  }, nb::arg("option"), nb::arg("text"), "ACTION:WEIGHT:LABEL[,...] as (action, weight, label).");
}

void BindFromActions(nb::module_& m) {
  nb::class_<AddAction, Operator>(m, "AddAction")
      .def("__init__", [](AddAction* self, const std::string& type, const std::string& condition, std::vector<int32_t> actions) {
        new (self) AddAction(ParseRecordType(type), condition, std::move(actions));
      }, nb::arg("type"), nb::arg("condition"), nb::arg("actions"), "See monolith_cli.operators.add_action.");
  nb::class_<AddLabel, Operator>(m, "AddLabel")
      .def("__init__", [](AddLabel* self, const std::string& type, std::vector<Task> tasks, float negative_value,
                          float new_sample_rate, uint64_t seed) {
        AddLabelConfig c;
        c.type = ParseRecordType(type);
        for (Task& t : tasks) c.tasks.push_back({std::move(std::get<0>(t)), std::move(std::get<1>(t)), std::get<2>(t)});
        c.negative_value = negative_value;
        c.new_sample_rate = new_sample_rate;
        c.seed = seed;
        new (self) AddLabel(c);
      }, nb::arg("type"), nb::arg("tasks"), nb::arg("negative_value"), nb::arg("new_sample_rate"), nb::arg("seed"),
      "See monolith_cli.operators.add_label.");
  nb::class_<MultiLabelGen, Operator>(m, "MultiLabelGen")
      .def("__init__", [](MultiLabelGen* self, const std::string& type, std::string head_field,
                          std::vector<std::pair<std::string, int32_t>> heads, int task_num, std::vector<int32_t> positive,
                          std::vector<int32_t> negative, std::vector<int32_t> priority, bool from_label,
                          float positive_label, float negative_label) {
        new (self) MultiLabelGen({ParseRecordType(type), std::move(head_field), std::move(heads), task_num,
                                  std::move(positive), std::move(negative), std::move(priority), from_label,
                                  positive_label, negative_label});
      }, nb::arg("type"), nb::arg("head_field"), nb::arg("heads"), nb::arg("task_num"), nb::arg("positive"),
      nb::arg("negative"), nb::arg("priority"), nb::arg("from_label"), nb::arg("positive_label"), nb::arg("negative_label"),
      "See monolith_cli.operators.multi_label_gen.");
  nb::class_<InstanceReweight, Operator>(m, "InstanceReweight")
      .def("__init__", [](InstanceReweight* self, const std::string& type, std::vector<int32_t> priority,
                          const std::vector<Weight>& weights, bool multiply) {
        InstanceReweightConfig c;
        c.type = ParseRecordType(type);
        c.priority = std::move(priority);
        for (const auto& [action, weight, label] : weights) c.weights.push_back({action, weight, label});
        c.method = multiply ? InstanceReweightConfig::Method::kMultiply : InstanceReweightConfig::Method::kAdd;
        new (self) InstanceReweight(c);
      }, nb::arg("type"), nb::arg("priority"), nb::arg("weights"), nb::arg("multiply"),
      "See monolith_cli.operators.instance_reweight.");
}

void BindFromLabels(nb::module_& m) {
  nb::class_<ScatterLabel, Operator>(m, "ScatterLabel")
      .def("__init__", [](ScatterLabel* self, const std::string& type, std::vector<std::pair<int64_t, int32_t>> index_of_channel) {
        new (self) ScatterLabel(ParseRecordType(type), std::move(index_of_channel));
      }, nb::arg("type"), nb::arg("index_of_channel"), "See monolith_cli.operators.scatter_label.");
  nb::class_<LabelUpperBound, Operator>(m, "LabelUpperBound")
      .def("__init__", [](LabelUpperBound* self, const std::string& type, std::vector<float> bounds) {
        new (self) LabelUpperBound(ParseRecordType(type), std::move(bounds));
      }, nb::arg("type"), nb::arg("bounds"), "See monolith_cli.operators.label_upper_bound.");
  nb::class_<LabelNormalization, Operator>(m, "LabelNormalization")
      .def("__init__", [](LabelNormalization* self, const std::string& type, const std::vector<Norm>& steps, bool skip_invalid) {
        std::vector<NormStep> parsed;
        for (const auto& [method, value] : steps) parsed.push_back({ParseNormMethod(method), value});
        new (self) LabelNormalization(ParseRecordType(type), std::move(parsed), skip_invalid);
      }, nb::arg("type"), nb::arg("steps"), nb::arg("skip_invalid"), "See monolith_cli.operators.label_normalization.");
  nb::class_<UseFieldAsLabel, Operator>(m, "UseFieldAsLabel")
      .def("__init__", [](UseFieldAsLabel* self, const std::string& type, const std::string& field, std::optional<float> zero_from) {
        new (self) UseFieldAsLabel(ParseRecordType(type), field, zero_from);
      }, nb::arg("type"), nb::arg("field"), nb::arg("zero_from").none(), "See monolith_cli.operators.use_field_as_label.");
  nb::class_<FillMultiRankOutput, Operator>(m, "FillMultiRankOutput")
      .def("__init__", [](FillMultiRankOutput* self, const std::string& type, const std::string& from, int32_t rank_num) {
        new (self) FillMultiRankOutput(ParseRecordType(type), from, rank_num);
      }, nb::arg("type"), nb::arg("rank_from"), nb::arg("rank_num"), "See monolith_cli.operators.fill_multi_rank_output.");
}

}  // namespace

void BindLabels(nb::module_& m) {
  BindTexts(m);
  BindFromActions(m);
  BindFromLabels(m);
}

}  // namespace monolith
