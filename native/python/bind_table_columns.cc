// Rows of tables from and to JSON lines and columns: batches cross over as a whole.
#include "core/base/error.h"
#include "core/tables/entry_columns.h"
#include "core/tables/entry_stream.h"
#include "core/tables/table_load.h"
#include "python/bind.h"
#include "python/callback_source.h"
#include "python/finished.h"

namespace monolith {
namespace {

constexpr size_t kBatchRows = 65536;
constexpr size_t kBatchBytes = size_t{32} << 20;

template <class T>
nb::bytes Bytes(const std::vector<T>& v) {
  return nb::bytes(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T));
}

nb::object Pair(const EntryColumns::List& list) {
  return nb::make_tuple(Bytes(list.offsets), nb::bytes(list.values.data(), list.values.size()));
}

// Rows of checkpoint files as batches of columns.
class Columns {
 public:
  Columns(const std::string& basename, std::string only) : stream_(basename), only_(std::move(only)) {}

  // A dict of buffers, or None at the end. An error waits until the rows before are out.
  nb::object Next() {
    columns_.Clear();
    if (error_) std::rethrow_exception(error_);
    {
      nb::gil_scoped_release release;
      try {
        while (columns_.rows < kBatchRows && columns_.bytes() < kBatchBytes && stream_.Next(&entry_, only_))
          columns_.Append(stream_.Tables()[stream_.table()], entry_);
      } catch (...) {
        error_ = std::current_exception();
      }
    }
    if (columns_.rows == 0) {
      if (error_) std::rethrow_exception(error_);
      return nb::none();
    }
    nb::dict d;
    d["rows"] = columns_.rows;
    d["fid"] = Bytes(columns_.fid);
    d["slot"] = Bytes(columns_.slot);
    d["last_update"] = Bytes(columns_.last_update);
    d["optimizer"] = Bytes(columns_.names);
    d["names"] = Pair(columns_.names_text);
    for (const auto& [name, list] : {std::pair<const char*, EntryColumns::List*>{"table", &columns_.table}, {"weights", &columns_.weights},
                                     {"state", &columns_.state}, {"state_sizes", &columns_.sizes}, {"state_steps", &columns_.steps}})
      d[name] = Pair(*list);
    return d;
  }

  nb::list Tables() {
    nb::list names;
    for (const std::string& name : stream_.Tables()) names.append(nb::bytes(name.data(), name.size()));
    return names;
  }

 private:
  EntryStream stream_;
  std::string only_;
  EntryColumns columns_;
  DumpedEntry entry_;
  std::exception_ptr error_;
};

// The buffers of one batch that Python has.
class Given {
 public:
  Given(size_t rows, const nb::dict& columns) : columns_(columns) {
    view_.rows = rows;
    view_.fid = reinterpret_cast<const uint64_t*>(Memory(columns["fid"], 8 * rows));
    if (Has("slot")) view_.slot = reinterpret_cast<const int64_t*>(Memory(columns["slot"], 8 * rows));
    if (Has("last_update")) view_.last_update = reinterpret_cast<const int64_t*>(Memory(columns["last_update"], 8 * rows));
    if (Has("table")) view_.table = List("table", rows, 1);
    view_.weights = List("weights", rows, 4);
    view_.optimizer = Has("optimizer");
    if (!view_.optimizer) return;
    view_.names.offsets = reinterpret_cast<const int32_t*>(Memory(columns["optimizer"], 4 * (rows + 1)));
    view_.names.count = nb::cast<size_t>(columns["names_count"]);
    view_.names_text = List("names", view_.names.count, 1);
    view_.state = List("state", rows, 4);
    view_.sizes = List("state_sizes", rows, 4);
    view_.steps = List("state_steps", rows, 8);
  }
  const EntryColumnsView& view() const { return view_; }

 private:
  bool Has(const char* name) const { return columns_.contains(name); }

  EntryColumnsView::List List(const char* name, size_t rows, size_t width) {
    const auto pair = nb::cast<nb::tuple>(columns_[name]);
    EntryColumnsView::List list;
    list.offsets = reinterpret_cast<const int32_t*>(Memory(pair[0], 4 * (rows + 1)));
    list.values = Memory(pair[1], 0);
    list.count = buffers_.back()->size() / width;
    return list;
  }
  const char* Memory(nb::handle buffer, size_t needed) {
    buffers_.push_back(std::make_unique<PyBuffer>(buffer.ptr(), PyBUF_SIMPLE));
    if (buffers_.back()->size() < needed) throw Error(ErrorCode::kInternal, "a column is shorter than it says");
    return buffers_.back()->data();
  }

  const nb::dict& columns_;
  std::vector<std::unique_ptr<PyBuffer>> buffers_;
  EntryColumnsView view_;
};

void LoadColumns(TableLoad* load, const std::string& file, uint64_t first_row, size_t rows, const nb::dict& columns) {
  const Given given(rows, columns);
  nb::gil_scoped_release release;
  DumpedEntry entry;
  std::string_view table;
  for (size_t i = 0; i < rows; ++i) {
    try {
      const RowFields has = given.view().Row(i, &table, &entry);
      load->Row(file, first_row + i + 1, table, has, &entry);
    } catch (const BadRecord& e) {
      throw Error(ErrorCode::kBadData, file + ": row " + std::to_string(first_row + i + 1) + ": " + e.what());
    }
  }
}

StartState MakeStart(const std::string& kind, int dim, const std::map<std::string, double>& values) {
  StartState s;
  s.dim = dim;
  s.values = values;
  if (kind == "none") return s;
  s.kind = FindOptimizerKind(kind);
  if (!s.kind) throw Error(ErrorCode::kUsage, "--optimizer " + kind + ": checkpoints have no state of such an optimizer");
  for (const auto& [name, v] : values) {
    bool there = false;
    for (const OptimizerField& f : s.kind->fields) there |= name == f.name;
    if (!there) throw Error(ErrorCode::kUsage, "--optimizer " + kind + ": has no state '" + name + "'");
  }
  return s;
}

std::unique_ptr<TableLoad> MakeLoad(const std::string& directory, const std::string& name, bool single, int shards, const std::string& table,
                                    std::optional<int64_t> last_update,
                                    const std::vector<std::tuple<std::string, int, std::map<std::string, double>>>& start,
                                    const std::string& spool, size_t memory) {
  LoadOptions o;
  o.directory = directory;
  o.name = name;
  o.single = single;
  o.shards = shards;
  o.table = table;
  o.last_update = last_update;
  for (const auto& [kind, dim, values] : start) o.start.push_back(MakeStart(kind, dim, values));
  o.spool_directory = spool;
  o.memory = memory;
  return std::make_unique<TableLoad>(std::move(o));
}

}  // namespace

void BindTableColumns(nb::module_& m) {
  nb::class_<Columns>(m, "TableColumns", "Rows of checkpoint files as columns, laid out as Apache Arrow has them.")
      .def(nb::init<const std::string&, std::string>(), nb::arg("basename"), nb::arg("table"), "table: only this one; empty for all.")
      .def("next", &Columns::Next, "A dict of buffers of some rows, or None at the end: see native/core/tables/entry_columns.h.")
      .def("tables", &Columns::Tables, "Names of the tables, as bytes.");
  nb::class_<TableLoad>(m, "TableLoad", "Rows into checkpoint files: see native/core/tables/table_load.h.")
      .def(nb::new_(&MakeLoad), nb::arg("directory"), nb::arg("name"), nb::arg("single"), nb::arg("shards"), nb::arg("table"),
           nb::arg("last_update").none(), nb::arg("start"), nb::arg("spool"), nb::arg("memory"),
           "start: (optimizer, dim or -1, {state: value}) of each segment, for rows without state.")
      .def("lines", [](TableLoad& self, const std::string& file, nb::handle bytes) {
        const PyBuffer buffer(bytes.ptr(), PyBUF_SIMPLE);
        nb::gil_scoped_release release;
        self.Lines(file, {buffer.data(), buffer.size()});
      }, nb::arg("file"), nb::arg("bytes"), "The next bytes of a file of JSON lines.")
      .def("end_lines", &TableLoad::EndLines, nb::arg("file"), nb::call_guard<nb::gil_scoped_release>(), "After the last bytes of a file.")
      .def("columns", [](TableLoad& self, const std::string& file, uint64_t first_row, size_t rows, const nb::dict& columns) {
        LoadColumns(&self, file, first_row, rows, columns);
      }, nb::arg("file"), nb::arg("first_row"), nb::arg("rows"), nb::arg("columns"), "Rows in the columns that TableColumns gives; slot as int64.")
      .def("finish", [](TableLoad& self) { return Finished(&self); }, nb::call_guard<nb::gil_scoped_release>(),
           "Checks that no key came twice, writes and syncs. False when a signal asked to stop.")
      .def("publish", &TableLoad::Publish, nb::call_guard<nb::gil_scoped_release>(), "The files take their places, all of a set or none.")
      .def("rows", [](const TableLoad& self) {
        nb::list all;
        for (const auto& [name, n] : self.rows()) all.append(nb::make_tuple(nb::bytes(name.data(), name.size()), n));
        return all;
      }, "(table, rows) so far.");
}

}  // namespace monolith
