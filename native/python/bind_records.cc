// Fids, hashes, conversion, csv and tf.Example in, random records, statistics.
#include <string>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/stop.h"
#include "core/io/record.h"
#include "core/records/line_id.h"
#include "core/records/convert.h"
#include "core/records/csv.h"
#include "core/records/line_sink.h"
#include "core/records/tf_example.h"
#include "python/bind.h"

namespace monolith {
namespace {

std::string_view View(const nb::bytes& b) { return {b.c_str(), b.size()}; }

// Records through a Python function: bytes in, bytes or None out; a ValueError makes it a bad record.
class CallbackOperator : public Operator {
 public:
  CallbackOperator(nb::callable call, std::string name) : call_(std::move(call)), name_(std::move(name)) {}
  ~CallbackOperator() override {
    nb::gil_scoped_acquire acquire;
    call_.reset();
  }
  const char* name() const override { return name_.c_str(); }

  void Process(const Record& record, RecordSink* next) override {
    if (!Call(record.payload)) return;
    Record made = record;
    made.payload = out_;
    made.framed = false;
    next->Write(made);
  }

 private:
  bool Call(std::string_view payload) {
    nb::gil_scoped_acquire acquire;
    try {
      const nb::object result = call_(nb::bytes(payload.data(), payload.size()));
      if (result.is_none()) return false;
      out_.assign(View(nb::cast<nb::bytes>(result)));
      return true;
    } catch (nb::python_error& e) {
      if (!e.matches(PyExc_ValueError)) throw;
      throw BadRecord(nb::str(e.value()).c_str());
    }
  }

  nb::callable call_;
  std::string name_, out_;
};

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
                     const std::string& default_text, std::optional<float> threshold, std::map<std::string, float> map,
                     uint64_t id) {
  CsvColumn c;
  c.from = from;
  c.index = index;
  c.target = Choose<CsvTarget>(to, "to", {{"fid", CsvTarget::kFid}, {"float", CsvTarget::kFloat}, {"int64", CsvTarget::kInt64},
                                          {"bytes", CsvTarget::kBytes}, {"label", CsvTarget::kLabel},
                                          {"weight", CsvTarget::kWeight}, {"line_id", CsvTarget::kLineId}});
  c.name = name;
  c.version = version;
  c.slot = slot;
  c.id = id;
  c.value = Choose<CsvValue>(value, "value", {{"integer", CsvValue::kInteger}, {"hash", CsvValue::kHash},
                                              {"log2", CsvValue::kLog2}, {"time", CsvValue::kTime},
                                              {"fid", CsvValue::kFid}});
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

void BindText(nb::module_& m) {
  m.def(
      "callback_operator",
      [](nb::callable call, const std::string& name) -> std::shared_ptr<Operator> {
        return std::make_shared<CallbackOperator>(std::move(call), name);
      },
      nb::arg("call"), nb::arg("name"),
      "An operator that is a Python function: bytes to bytes, or to None to drop; a ValueError makes it a bad record.");
  m.def(
      "LineSink",
      [](int fd, const std::string& name) -> std::shared_ptr<RecordSink> { return std::make_shared<LineSink>(fd, name); },
      nb::arg("fd"), nb::arg("name"), "Writes each record as a line of text.");
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
           nb::arg("threshold") = nb::none(), nb::arg("map") = std::map<std::string, float>(), nb::arg("id") = 0)
      .def_ro("source", &CsvColumn::from, "Name of the column it reads.")
      .def_prop_ro(
          "needs_integers",
          [](const CsvColumn& c) {
            if (c.target == CsvTarget::kLineId) {
              const LineIdField* field = FindLineIdField(c.name);
              return c.value == CsvValue::kInteger && field && field->kind != FieldKind::kFloat && field->kind != FieldKind::kString;
            }
            return (c.target == CsvTarget::kFid || c.target == CsvTarget::kInt64) &&
                   (c.value == CsvValue::kInteger || c.value == CsvValue::kFid);
          },
          "A float is nothing it can be made of.");
  nb::class_<CsvSchema>(m, "CsvSchema")
      .def(nb::init<>())
      .def_prop_rw(
          "to", [](const CsvSchema& s) { return RecordTypeName(s.to); },
          [](CsvSchema& s, const std::string& to) { s.to = ParseRecordType(to); })
      .def_rw("typed", &CsvSchema::typed)
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
           nb::arg("source"), nb::arg("schema"))
      .def_prop_ro("line", &RowReader::line, "Number of the line, from 1, that the row last read begins on.");
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
          nb::arg("reader"), "Before the rows of a source: finds the columns in its header.")
      .def("begin_typed", nb::overload_cast<const std::vector<std::string>&, const std::string&>(&CsvOperator::Begin),
           nb::arg("names"), nb::arg("source"), "The same before typed rows with these columns.");
}

}  // namespace

void BindGenStat(nb::module_& m);  // bind_gen_stat.cc

void BindRecords(nb::module_& m) {
  BindFids(m);
  BindText(m);
  BindConvert(m);
  BindCsv(m);
  BindGenStat(m);
}

}  // namespace monolith
