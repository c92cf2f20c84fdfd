// What the table commands do that write checkpoint files or compare them. Each call of `step` does a part of the work without the
// GIL and comes back, so that signals are seen.
#include <nanobind/stl/set.h>

#include "core/tables/table_copy.h"
#include "core/tables/table_diff.h"
#include "core/tables/table_merge.h"
#include "python/bind.h"
#include "python/finished.h"

namespace monolith {
namespace {

constexpr size_t kRowsPerCall = 65536;

nb::bytes Name(const std::string& name) { return nb::bytes(name.data(), name.size()); }

RowRules MakeRules(const nb::dict& given) {
  RowRules rules;
  const auto has = [&](const char* name) { return given.contains(name) && !given[name].is_none(); };
  if (has("expire_days")) rules.expire_days = nb::cast<uint32_t>(given["expire_days"]);
  if (has("slot_expire_days")) rules.slot_expire_days = nb::cast<std::map<uint32_t, uint32_t>>(given["slot_expire_days"]);
  if (has("before")) rules.before = nb::cast<int64_t>(given["before"]);
  if (has("min_norm")) rules.min_norm = nb::cast<double>(given["min_norm"]);
  if (has("slots")) rules.slots = nb::cast<std::set<uint32_t>>(given["slots"]);
  if (has("keys"))
    for (nb::handle key : given["keys"]) rules.keys.insert(nb::cast<int64_t>(key));
  if (has("table")) rules.table = nb::cast<std::string>(given["table"]);
  return rules;
}

std::unique_ptr<TableCopy> MakeCopy(const std::vector<std::string>& inputs, const std::vector<std::string>& outputs, int shards,
                                    const nb::dict& rules, const std::string& spool, size_t memory) {
  CopyOptions o;
  o.inputs = inputs;
  o.outputs = outputs;
  o.shards = shards;
  o.rules = MakeRules(rules);
  o.spool_directory = spool;
  o.memory = memory;
  nb::gil_scoped_release release;
  return std::make_unique<TableCopy>(std::move(o));
}

std::unique_ptr<TableMerge> MakeMerge(const std::vector<std::string>& inputs, const std::vector<std::string>& outputs, int shards,
                                      const std::string& on_duplicate, const std::string& spool, size_t memory) {
  MergeOptions o;
  o.inputs = inputs;
  o.outputs = outputs;
  o.shards = shards;
  o.on_duplicate = ParseOnDuplicate(on_duplicate);
  o.spool_directory = spool;
  o.memory = memory;
  nb::gil_scoped_release release;
  return std::make_unique<TableMerge>(std::move(o));
}

nb::list CopyCounts(const TableCopy& copy) {
  nb::list all;
  for (const auto& c : copy.counts()) {
    nb::dict d;
    d["table"] = Name(c.table);
    d["rows"] = c.rows;
    d["gone"] = c.gone;
    d["slots"] = c.slots;
    all.append(d);
  }
  return all;
}

nb::list MergeCounts(const TableMerge& merge) {
  nb::list all;
  for (const auto& c : merge.counts()) {
    nb::dict d;
    d["table"] = Name(c.table);
    d["rows"] = c.rows;
    d["duplicates"] = c.duplicates;
    all.append(d);
  }
  return all;
}


std::unique_ptr<TableDiff> MakeDiff(const std::vector<std::string>& a, const std::vector<std::string>& b, const std::string& table,
                                    double tolerance, bool ignore_state, bool ignore_time, size_t limit, const std::string& spool,
                                    size_t memory) {
  DiffOptions o;
  o.a = a;
  o.b = b;
  o.table = table;
  o.tolerance = tolerance;
  o.ignore_state = ignore_state;
  o.ignore_time = ignore_time;
  o.limit = limit;
  o.spool_directory = spool;
  o.memory = memory;
  nb::gil_scoped_release release;
  return std::make_unique<TableDiff>(std::move(o));
}

nb::list DiffTables(const TableDiff& diff) {
  nb::list all;
  for (const TableDifference& t : diff.tables()) {
    nb::dict d;
    d["table"] = Name(t.table);
    d["in_a"] = t.in_a;
    d["in_b"] = t.in_b;
    d["same"] = t.same();
    for (const auto& [name, n] : std::initializer_list<std::pair<const char*, uint64_t>>{
             {"rows_a", t.rows_a}, {"rows_b", t.rows_b}, {"only_a", t.only_a}, {"only_b", t.only_b}, {"equal", t.equal},
             {"changed", t.changed}, {"shapes", t.shapes}, {"weights", t.weights}, {"state", t.state}, {"times", t.times},
             {"infinite", t.infinite}})
      d[name] = n;
    d["max_abs"] = t.max_abs;
    d["l2_sum"] = t.l2_sum;
    nb::dict distances;
    for (int i = 0; i < TableDifference::kBins; ++i)
      if (t.distances[static_cast<size_t>(i)]) distances[nb::int_(i - TableDifference::kZero)] = t.distances[static_cast<size_t>(i)];
    d["distances"] = distances;
    all.append(d);
  }
  return all;
}

nb::list DiffRows(const TableDiff& diff) {
  static constexpr const char* kWhat[] = {"only_a", "only_b", "shape", "changed"};
  nb::list all;
  for (const RowDifference& r : diff.differences()) {
    nb::dict d;
    d["table"] = Name(diff.tables()[r.table].table);
    d["fid"] = static_cast<uint64_t>(r.key);
    d["what"] = kWhat[static_cast<size_t>(r.what)];
    if (r.what == RowDifference::What::kChanged) {
      d["weights"] = r.weights;
      d["state"] = r.state;
      d["time"] = r.time;
      d["max_abs"] = r.max_abs;
      d["l2"] = r.l2;
      d["last_update"] = nb::make_tuple(r.time_a, r.time_b);
    }
    all.append(d);
  }
  return all;
}

template <class T>
void DefSteps(nb::class_<T>& c) {
  c.def("step", [](T& self) { return self.Step(kRowsPerCall); }, nb::call_guard<nb::gil_scoped_release>(),
        "Goes on for some rows; False at the end.");
}

template <class T>
void DefOutput(nb::class_<T>& c) {
  c.def("finish", [](T& self) { return Finished(&self); }, nb::call_guard<nb::gil_scoped_release>(),
        "Writes and syncs what is left; nothing is visible yet. False when a signal asked to stop.")
      .def("publish", &T::Publish, nb::call_guard<nb::gil_scoped_release>(), "The files take their places, all of a set or none.");
}

}  // namespace

void BindTableEdit(nb::module_& m) {
  nb::class_<TableCopy> copy(m, "TableCopy", "Checkpoint files into others, row by row: see native/core/tables/table_copy.h.");
  copy.def(nb::new_(&MakeCopy), nb::arg("inputs"), nb::arg("outputs"), nb::arg("shards"), nb::arg("rules"), nb::arg("spool"),
           nb::arg("memory"))
      .def("counts", &CopyCounts, "[{table, rows, gone, slots: {slot: (rows, gone)}}]");
  DefSteps(copy);
  DefOutput(copy);
  nb::class_<TableMerge> merge(m, "TableMerge", "The union of checkpoint files: see native/core/tables/table_merge.h.");
  merge.def(nb::new_(&MakeMerge), nb::arg("inputs"), nb::arg("outputs"), nb::arg("shards"), nb::arg("on_duplicate"), nb::arg("spool"),
            nb::arg("memory"))
      .def("counts", &MergeCounts, "[{table, rows, duplicates}]");
  DefSteps(merge);
  DefOutput(merge);
  nb::class_<TableDiff> diff(m, "TableDiff", "What differs between checkpoint files: see native/core/tables/table_diff.h.");
  diff.def(nb::new_(&MakeDiff), nb::arg("a"), nb::arg("b"), nb::arg("table"), nb::arg("tolerance"), nb::arg("ignore_state"),
           nb::arg("ignore_time"), nb::arg("limit"), nb::arg("spool"), nb::arg("memory"))
      .def("tables", &DiffTables, "Counts of each table, as dicts.")
      .def("differences", &DiffRows, "The first rows that differ, as dicts.");
  DefSteps(diff);
}

}  // namespace monolith
