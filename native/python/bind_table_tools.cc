// What the table commands do with checkpoint files. Each call does a part of the work without the GIL and comes back, so that
// signals are seen.
#include <nanobind/stl/array.h>

#include <optional>
#include <unordered_set>

#include "core/tables/table_scan.h"
#include "python/bind.h"

namespace monolith {
namespace {

constexpr size_t kRowsPerCall = 65536;
constexpr size_t kBytesPerCall = size_t{1} << 20;

class Lines {
 public:
  Lines(const std::string& basename, std::string only, const std::optional<std::vector<int64_t>>& keys)
      : stream_(basename), only_(std::move(only)) {
    if (keys) keys_.emplace(keys->begin(), keys->end());
  }

  // None at the end; an empty text when the rows so far were not asked for. An error waits until the rows before are out.
  nb::object Next() {
    bool more = true;
    text_.clear();
    if (error_) std::rethrow_exception(error_);
    {
      nb::gil_scoped_release release;
      try {
        for (size_t i = 0; more && i < kRowsPerCall && text_.size() < kBytesPerCall; ++i) more = Row();
      } catch (...) {
        error_ = std::current_exception();
      }
    }
    if (error_ && text_.empty()) std::rethrow_exception(error_);
    if (!more && text_.empty()) return nb::none();
    return nb::bytes(text_.data(), text_.size());
  }

  nb::list Tables() {
    nb::list names;
    for (const std::string& name : stream_.Tables()) names.append(nb::bytes(name.data(), name.size()));
    return names;
  }
  bool multi() const { return stream_.multi(); }
  std::vector<int64_t> Found() const { return {found_.begin(), found_.end()}; }

 private:
  bool Row() {
    if (!stream_.Next(&entry_, only_)) return false;
    if (keys_ && !keys_->count(entry_.key)) return true;
    if (keys_) found_.insert(entry_.key);
    AppendJsonLine(stream_.Tables()[stream_.table()], entry_, &text_);
    return true;
  }

  EntryStream stream_;
  std::string only_;
  std::optional<std::unordered_set<int64_t>> keys_;
  std::unordered_set<int64_t> found_;
  DumpedEntry entry_;
  std::string text_;
  std::exception_ptr error_;
};

nb::dict AsDict(const TableSummary& t) {
  nb::dict d;
  d["table"] = nb::bytes(t.name.data(), t.name.size());
  d["keys"] = t.keys;
  d["bytes"] = t.bytes;
  d["dim"] = t.shape.shape().dim;
  nb::list segments;
  for (const auto& s : t.shape.shape().segments) {
    nb::dict segment;
    segment["optimizer"] = s.optimizer;
    segment["dim"] = s.dim < 0 ? nb::none() : nb::cast(s.dim);
    segments.append(segment);
  }
  d["segments"] = segments;
  d["slots"] = t.slots;
  d["never_updated"] = t.never_updated;
  d["oldest"] = t.oldest;
  d["newest"] = t.newest;
  d["ages"] = t.ages;
  d["zero_norms"] = t.zero_norms;
  d["non_finite"] = t.non_finite;
  nb::dict norms;
  for (int i = 0; i < TableSummary::kNorms; ++i)
    if (t.norms[static_cast<size_t>(i)]) norms[nb::int_(i - TableSummary::kNormZero)] = t.norms[static_cast<size_t>(i)];
  d["norms"] = norms;
  d["norm_sum"] = t.norm_sum;
  d["norm_max"] = t.norm_max;
  d["duplicates"] = t.duplicates;
  return d;
}

}  // namespace

void BindTableTools(nb::module_& m) {
  nb::class_<Lines>(m, "TableLines", "Rows of checkpoint files as JSON lines.")
      .def(nb::init<const std::string&, std::string, const std::optional<std::vector<int64_t>>&>(), nb::arg("basename"),
           nb::arg("table"), nb::arg("keys").none(), "table: only this one; empty for all. keys: only these; None for all.")
      .def("next", &Lines::Next, "Some lines as bytes, perhaps none yet; None at the end.")
      .def("tables", &Lines::Tables, "Names of the tables, as bytes.")
      .def("multi", &Lines::multi, "False: the files are of one table.")
      .def("found", &Lines::Found, "Which of the keys have been found so far.");
  nb::class_<TableScan>(m, "TableScan", "Counts what checkpoint files hold, or looks for damage.")
      .def(nb::init<const std::string&, int64_t, bool>(), nb::arg("basename"), nb::arg("now"), nb::arg("verify"))
      .def("step", [](TableScan& s) { return s.Step(kRowsPerCall); }, nb::call_guard<nb::gil_scoped_release>(),
           "Goes on for some rows; False at the end.")
      .def("summaries", [](TableScan& s) {
        nb::list all;
        for (const TableSummary& t : s.Summaries()) all.append(AsDict(t));
        return all;
      }, "A dict for each table.")
      .def("findings", [](const TableScan& s) {
        nb::list all;
        for (const std::string& f : s.findings()) all.append(nb::bytes(f.data(), f.size()));
        return all;
      }, "What is damaged, the first hundred.")
      .def("damages", &TableScan::damages, "How much is damaged in all.");
}

}  // namespace monolith
