// Fids, hashes, conversion, csv and tf.Example in, random records, statistics.
#include <string>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/stop.h"
#include "core/io/record.h"
#include "core/records/convert.h"
#include "core/records/csv.h"
#include "core/records/tf_example.h"
#include "python/bind.h"

namespace monolith {
namespace {

std::string_view View(const nb::bytes& b) { return {b.c_str(), b.size()}; }

template <class E>
E Choose(const std::string& text, const char* what, std::initializer_list<std::pair<const char*, E>> choices) {
  std::string names;
  for (const auto& [name, value] : choices) {
    if (text == name) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw Error(ErrorCode::kConfig, std::string(what) + " '" + text + "': choose one of " + names);
}

CsvColumn MakeColumn(const std::string& from, size_t index, const std::string& to, const std::string& name, int version,
                     uint64_t slot, const std::string& value, const std::string& separator, const std::string& missing,
                     const std::string& default_text, std::optional<float> threshold, std::map<std::string, float> map) {
  CsvColumn c;
  c.from = from;
  c.index = index;
  c.target = Choose<CsvTarget>(to, "to", {{"fid", CsvTarget::kFid}, {"float", CsvTarget::kFloat}, {"int64", CsvTarget::kInt64},
                                          {"bytes", CsvTarget::kBytes}, {"label", CsvTarget::kLabel},
                                          {"weight", CsvTarget::kWeight}, {"line_id", CsvTarget::kLineId}});
  c.name = name;
  c.version = version;
  c.slot = slot;
  c.value = Choose<CsvValue>(value, "value", {{"integer", CsvValue::kInteger}, {"hash", CsvValue::kHash},
                                              {"log2", CsvValue::kLog2}, {"time", CsvValue::kTime}});
  c.separator = separator;
  c.missing = Choose<CsvMissing>(missing, "missing", {{"skip", CsvMissing::kSkip}, {"default", CsvMissing::kDefault},
                                                      {"error", CsvMissing::kError}});
  c.default_text = default_text;
  c.threshold = threshold;
  c.map.insert(map.begin(), map.end());
  return c;
}

void BindFids(nb::module_& m) {
  m.def("city_hash64", [](nb::bytes b) { return CityHash64(View(b)); }, nb::arg("data"), "CityHash64, version 1.1.");
  m.def("java_hash", [](nb::bytes b) { return JavaHash(View(b)); }, nb::arg("data"), "Java's String.hashCode over bytes.");
}

void BindConvert(nb::module_& m) {
  m.def(
      "convert_operator",
      [](const std::string& from, const std::string& to, const std::string& pruning,
         size_t batch_size) -> std::shared_ptr<Operator> {
        ConvertOptions options;
        options.from = ParseRecordType(from);
        options.to = ParseRecordType(to);
        options.pruning = ParsePruning(pruning);
        options.batch_size = batch_size;
        return MakeConvert(options);
      },
      nb::arg("from_type"), nb::arg("to_type"), nb::arg("pruning") = "as_is", nb::arg("batch_size") = 256);
  nb::class_<TfExampleOperator, Operator>(m, "TfExampleOperator")
      .def(
          "__init__",
          [](TfExampleOperator* self, std::vector<std::pair<std::string, int64_t>> sparse, std::vector<std::string> dense,
             std::string label, std::string instance_weight, bool hash_bytes) {
            new (self) TfExampleOperator(
                {std::move(sparse), std::move(dense), std::move(label), std::move(instance_weight), hash_bytes});
          },
          nb::kw_only(), nb::arg("sparse"), nb::arg("dense"), nb::arg("label") = "", nb::arg("instance_weight") = "",
          nb::arg("hash_bytes") = false)
      .def("notes", &TfExampleOperator::Notes, "What could not be taken over, counted.");
}

void BindCsv(nb::module_& m) {
  nb::class_<CsvColumn>(m, "CsvColumn", "See monolith_cli.records.csv_schema.")
      .def(nb::new_(&MakeColumn), nb::kw_only(), nb::arg("from_") = "", nb::arg("index") = 0, nb::arg("to"),
           nb::arg("name") = "", nb::arg("version") = 2, nb::arg("slot") = 0, nb::arg("value") = "integer",
           nb::arg("separator") = "", nb::arg("missing") = "skip", nb::arg("default") = "",
           nb::arg("threshold") = nb::none(), nb::arg("map") = std::map<std::string, float>());
  nb::class_<CsvSchema>(m, "CsvSchema")
      .def(nb::init<>())
      .def_prop_rw(
          "to", [](const CsvSchema& s) { return RecordTypeName(s.to); },
          [](CsvSchema& s, const std::string& to) { s.to = ParseRecordType(to); })
      .def_rw("separator", &CsvSchema::separator)
      .def_rw("header", &CsvSchema::header)
      .def_rw("quote", &CsvSchema::quote)
      .def_rw("latin1", &CsvSchema::latin1)
      .def_rw("skip_empty", &CsvSchema::skip_empty)
      .def_rw("short_rows", &CsvSchema::short_rows)
      .def_rw("null_texts", &CsvSchema::null_texts)
      .def_rw("columns", &CsvSchema::columns)
      .def_rw("max_row_bytes", &CsvSchema::max_row_bytes);
  nb::class_<RowReader, RecordReader>(m, "RowReader", "Rows of a delimited text.")
      .def(nb::new_([](std::shared_ptr<ByteSource> source, const CsvSchema& schema) {
             return std::make_shared<RowReader>(std::move(source), RowOptionsOf(schema));
           }),
           nb::arg("source"), nb::arg("schema"));
  nb::class_<CsvOperator, Operator>(m, "CsvOperator", "Makes records of rows.")
      .def(nb::init<const CsvSchema&>(), nb::arg("schema"))
      .def(
          "begin",
          [](CsvOperator& self, std::shared_ptr<RowReader> reader) {
            nb::gil_scoped_release release;
            try {
              self.Begin(std::move(reader));
            } catch (const Interrupted&) {  // the run of the reader ends at once, too
            }
          },
          nb::arg("reader"), "Before the rows of a source: finds the columns in its header.");
}

}  // namespace

void BindRecords(nb::module_& m) {
  BindFids(m);
  BindConvert(m);
  BindCsv(m);
}

}  // namespace monolith
