#include "core/operators/operator.h"
#include "python/bind.h"

namespace monolith {

void BindChains(nb::module_& m);    // bind_chains.cc
void BindFeatures(nb::module_& m);  // bind_features.cc
void BindFilter(nb::module_& m);    // bind_filter.cc
void BindFlows(nb::module_& m);     // bind_flows.cc
void BindLabels(nb::module_& m);    // bind_labels.cc
void BindParse(nb::module_& m);     // bind_parse.cc

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
  BindFlows(m);
  BindFeatures(m);
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
  BindChains(m);
  BindFilter(m);
  BindLabels(m);
}

}  // namespace monolith
