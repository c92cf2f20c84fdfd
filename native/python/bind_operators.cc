#include "core/operators/filter.h"
#include "core/operators/operator.h"
#include "python/bind.h"

namespace monolith {

void BindParse(nb::module_& m);  // bind_parse.cc
void BindEdges(nb::module_& m);  // bind_edges.cc

namespace {

// Keeps what an operator lets through.
class ListSink : public RecordSink {
 public:
  explicit ListSink(nb::list* out) : out_(out) {}
  void Write(const Record& record) override { out_->append(nb::bytes(record.payload.data(), record.payload.size())); }
  void Flush() override {}

 private:
  nb::list* out_;
};

}  // namespace

void BindOperators(nb::module_& m) {
  BindParse(m);
  m.def("apply", [](Operator& op, nb::bytes payload) {
    nb::list out;
    ListSink sink(&out);
    Record record;
    record.payload = {payload.c_str(), payload.size()};
    op.Process(record, &sink);
    return out;
  }, nb::arg("operator"), nb::arg("payload"), "Runs one operator on one serialized record; returns what it lets through.");
  m.def("finish", [](Operator& op) {
    nb::list out;
    ListSink sink(&out);
    op.Finish(&sink);
    return out;
  }, nb::arg("operator"), "Tells one operator that the input has ended; returns what it held back.");

  BindEdges(m);
  nb::class_<Filter, Operator>(m, "Filter")
      .def("__init__",
           [](Filter* self, const std::string& type, std::optional<int64_t> req_time_min, std::vector<uint64_t> filter_fids,
              std::vector<uint64_t> has_fids, std::vector<uint64_t> select_fids, std::vector<uint32_t> select_slots,
              std::vector<int32_t> has_actions, std::string where, bool keep_empty, std::vector<float> label_thresholds,
              bool label_strict, bool invert, nb::bytes rejected) {
             FilterConfig c;
             c.type = ParseRecordType(type);
             c.req_time_min = req_time_min;
             c.filter_fids = std::move(filter_fids);
             c.has_fids = std::move(has_fids);
             c.select_fids = std::move(select_fids);
             c.select_slots = std::move(select_slots);
             c.has_actions = std::move(has_actions);
             c.where = std::move(where);
             c.keep_empty = keep_empty;
             c.label_thresholds = std::move(label_thresholds);
             c.label_strict = label_strict;
             c.invert = invert;
             c.rejected = std::string(rejected.c_str(), rejected.size());
             new (self) Filter(std::move(c));
           },
           nb::arg("type"), nb::arg("req_time_min") = nb::none(), nb::arg("filter_fids") = std::vector<uint64_t>{},
           nb::arg("has_fids") = std::vector<uint64_t>{}, nb::arg("select_fids") = std::vector<uint64_t>{},
           nb::arg("select_slots") = std::vector<uint32_t>{}, nb::arg("has_actions") = std::vector<int32_t>{},
           nb::arg("where") = "", nb::arg("keep_empty") = false, nb::arg("label_thresholds") = std::vector<float>{},
           nb::arg("label_strict") = false, nb::arg("invert") = false, nb::arg("rejected") = nb::bytes("", 0),
           "See monolith_cli.operators.filter.FilterConfig.");
}

}  // namespace monolith
