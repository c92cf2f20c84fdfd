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

nb::dict ParseRecords(const std::string& type, const std::vector<nb::bytes>& payloads,
                      const std::vector<std::pair<int, std::string>>& fidv1, const std::vector<std::string>& fidv2,
                      const std::vector<std::pair<std::string, std::pair<int64_t, std::string>>>& dense,
                      const std::vector<std::pair<std::string, int64_t>>& extra) {
  ParseSpec spec;
  spec.type = ParseRecordType(type);
  for (const auto& [slot, name] : fidv1) spec.fidv1.push_back({slot, name});
  spec.fidv2 = fidv2;
  for (const auto& [name, rest] : dense) spec.dense.push_back({name, rest.first, ParseColumnType(rest.second)});
  for (const auto& [name, width] : extra) spec.extra.push_back({name, width});
  std::vector<std::string_view> records;
  for (const nb::bytes& p : payloads) records.push_back({p.c_str(), p.size()});
  ParsedColumns columns;
  RecordParser(spec).Parse(records.data(), records.size(), &columns);
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
  m.def("parse_records", &ParseRecords, nb::arg("type"), nb::arg("payloads"),
        nb::arg("fidv1") = std::vector<std::pair<int, std::string>>{}, nb::arg("fidv2") = std::vector<std::string>{},
        nb::arg("dense") = std::vector<std::pair<std::string, std::pair<int64_t, std::string>>>{},
        nb::arg("extra") = std::vector<std::pair<std::string, int64_t>>{},
        "The columns a model gets of serialized records, as lists: fidv1 (slot, name), fidv2 names, dense (name, (width, "
        "float|int64|string)), extra (LineId field, width). Sparse ones come as (row_splits, values).");
}

}  // namespace monolith
