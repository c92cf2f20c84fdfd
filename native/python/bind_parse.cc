#include "core/base/error.h"
#include "core/parse/parse.h"
#include "python/bind.h"

namespace monolith {
namespace {

ColumnType ParseColumnType(const std::string& name) {
  if (name == "float") return ColumnType::kFloat;
  if (name == "int64") return ColumnType::kInt64;
  if (name == "string") return ColumnType::kString;
  throw Error(ErrorCode::kConfig, "dense type '" + name + "': choose float, int64 or string");
}

nb::list ToList(const DenseColumn& column) {
  nb::list out;
  for (float v : column.floats) out.append(v);
  for (int64_t v : column.ints) out.append(v);
  for (std::string_view v : column.strings) out.append(nb::bytes(v.data(), v.size()));
  return out;
}

using Slots = std::vector<std::pair<int, std::string>>;
using DenseFeatures = std::vector<std::pair<std::string, std::pair<int64_t, std::string>>>;
using ExtraFields = std::vector<std::pair<std::string, int64_t>>;

RecordParser MakeParser(const std::string& type, const Slots& fidv1, const std::vector<std::string>& fidv2, const DenseFeatures& dense,
                        const ExtraFields& extra) {
  ParseSpec spec;
  spec.type = ParseRecordType(type);
  for (const auto& [slot, name] : fidv1) spec.fidv1.push_back({slot, name});
  spec.fidv2 = fidv2;
  for (const auto& [name, rest] : dense) spec.dense.push_back({name, rest.first, ParseColumnType(rest.second)});
  for (const auto& [name, width] : extra) spec.extra.push_back({name, width});
  return RecordParser(std::move(spec));
}

nb::dict ParseRecords(const RecordParser& parser, const std::vector<nb::bytes>& payloads) {
  std::vector<std::string_view> records;
  for (const nb::bytes& p : payloads) records.push_back({p.c_str(), p.size()});
  ParsedColumns columns;
  parser.Parse(records.data(), records.size(), &columns);
  nb::dict out;
  for (const SparseColumn& c : columns.sparse) {
    const char* name = c.name.c_str();
    out[name] = nb::make_tuple(c.row_splits, c.values);
  }
  for (const auto* group : {&columns.dense, &columns.extra})
    for (const DenseColumn& c : *group) out[c.name.c_str()] = ToList(c);
  return out;
}

}  // namespace

void BindParse(nb::module_& m) {
  nb::class_<RecordParser>(m, "RecordParser",
                           "What a model reads of serialized records: fidv1 (slot, name), fidv2 names, dense (name, (width, "
                           "float|int64|string)), extra (LineId field, width).")
      .def(nb::new_([](const std::string& type, const Slots& fidv1, const std::vector<std::string>& fidv2, const DenseFeatures& dense,
                       const ExtraFields& extra) {
             return std::make_shared<RecordParser>(MakeParser(type, fidv1, fidv2, dense, extra));
           }),
           nb::arg("type"), nb::arg("fidv1") = Slots{}, nb::arg("fidv2") = std::vector<std::string>{}, nb::arg("dense") = DenseFeatures{},
           nb::arg("extra") = ExtraFields{})
      .def("parse", &ParseRecords, nb::arg("payloads"), "The columns, as lists. Sparse ones come as (row_splits, values).");
}

}  // namespace monolith
