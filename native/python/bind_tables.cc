// Embedding tables as Python sees them: numpy arrays in and out, the GIL released while the core works.
#include <nanobind/ndarray.h>
#include <nanobind/stl/variant.h>

#include <cstring>
#include <ctime>

#include "core/base/error.h"
#include "core/tables/checkpoint.h"
#include "core/tables/chunk_arena.h"
#include "core/tables/filters/occurrence_gate.h"
#include "core/tables/summary.h"
#include "core/tables/table.h"
#include "core/tables/touched_keys.h"
#include "python/bind.h"

namespace monolith {
namespace {

using Keys = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Rates = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

using OldNames = std::map<std::string, std::vector<std::string>>;

RestoreOptions MakeOptions(const std::vector<std::string>& modes, const OldNames& old_names, uint64_t part, uint64_t parts) {
  RestoreOptions o = RestoreModes(modes);
  o.old_names = old_names;
  o.part = part;
  o.parts = parts;
  return o;
}

nb::dict AsDict(const RestoreReport& r) {
  nb::dict d;
  d["rows"] = r.rows;
  d["adapted_rows"] = r.adapted_rows;
  d["other_parts"] = r.other_parts;
  d["unknown_tables"] = r.unknown_tables;
  d["missing_tables"] = r.missing_tables;
  return d;
}

// A set of tables of this process; another object of the same name, or an op of the graph, sees the same rows.
class Tables {
 public:
  Tables(const std::string& shared_name, const std::map<std::string, nb::bytes>& configs) : name_(shared_name) {
    std::vector<TableConfig> decoded;
    for (const auto& [name, bytes] : configs) decoded.push_back(DecodeTableConfig(name, {bytes.c_str(), bytes.size()}));
    tables_ = OpenTables(shared_name, decoded);
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (size_t i = 0; i < tables_->num_tables(); ++i) names.push_back(tables_->table(i).config().name);
    return names;
  }

  EmbeddingTable& At(const std::string& name) const {
    const int i = tables_->IndexOf(name);
    if (i >= 0) return tables_->table(static_cast<size_t>(i));
    std::string all;
    for (const auto& n : Names()) all += (all.empty() ? "" : ", ") + n;
    throw Error(ErrorCode::kUsage, "there is no table '" + name + "' in '" + name_ + "'; there are: " + all);
  }

  auto Lookup(const std::string& name, const Keys& keys) const {
    const EmbeddingTable& t = At(name);
    const size_t n = keys.shape(0), dim = static_cast<size_t>(t.dim());
    float* out = new float[std::max<size_t>(1, n * dim)];
    nb::capsule owner(out, [](void* p) noexcept { delete[] static_cast<float*>(p); });
    {
      nb::gil_scoped_release release;
      t.Lookup(keys.data(), n, out);
    }
    return nb::ndarray<nb::numpy, float, nb::ndim<2>>(out, {n, dim}, owner);
  }

  nb::list Contains(const std::string& name, const Keys& keys) const {
    const EmbeddingTable& t = At(name);
    nb::list out;
    for (size_t i = 0; i < keys.shape(0); ++i) out.append(t.Contains(keys.data()[i]));
    return out;
  }

  void Assign(const std::string& name, const Keys& keys, const Floats& values, int64_t now) {
    EmbeddingTable& t = Checked(name, keys, values, "values");
    nb::gil_scoped_release release;
    t.Assign(keys.data(), keys.shape(0), values.data(), static_cast<uint32_t>(now));
  }

  void AssignAdd(const std::string& name, const Keys& keys, const Floats& values, int64_t now) {
    EmbeddingTable& t = Checked(name, keys, values, "values");
    nb::gil_scoped_release release;
    t.AssignAdd(keys.data(), keys.shape(0), values.data(), static_cast<uint32_t>(now));
  }

  void Optimize(const std::string& name, const Keys& keys, const Floats& grads, const std::vector<float>& rates, int64_t now,
                int64_t global_step, bool dedup) {
    EmbeddingTable& t = Checked(name, keys, grads, "gradients");
    const size_t segments = t.config().segments.size();
    if (rates.size() != segments)
      throw Error(ErrorCode::kUsage, "table '" + name + "' has " + std::to_string(segments) + " segments but " +
                                         std::to_string(rates.size()) + " learning rates are given");
    nb::gil_scoped_release release;
    const auto optimize = dedup ? &EmbeddingTable::OptimizeSummed : &EmbeddingTable::Optimize;
    (t.*optimize)(keys.data(), keys.shape(0), grads.data(), rates.data(), static_cast<uint32_t>(now), global_step);
  }

  // As the ops have it: an unknown table gives -1 for each key.
  std::vector<int32_t> Reinitialize(const std::string& name, const Keys& keys, std::optional<int64_t> now) {
    std::vector<int32_t> status(keys.shape(0), -1);
    const int i = tables_->IndexOf(name);
    if (i < 0) return status;
    nb::gil_scoped_release release;
    tables_->table(static_cast<size_t>(i))
        .Reinitialize(keys.data(), status.size(), static_cast<uint32_t>(now.value_or(std::time(nullptr))), status.data());
    return status;
  }

  size_t Erase(const std::string& name, const Keys& keys) {
    EmbeddingTable& t = At(name);
    nb::gil_scoped_release release;
    return t.Erase(keys.data(), keys.shape(0));
  }
  size_t Evict(const std::string& name, std::optional<int64_t> now) {
    EmbeddingTable& t = At(name);
    nb::gil_scoped_release release;
    return t.Evict(now.value_or(t.max_update_ts()));
  }

  void SetGate(std::shared_ptr<OccurrenceGate> gate, const std::optional<std::string>& name) {
    if (name) return At(*name).SetGate(std::move(gate));
    for (size_t i = 0; i < tables_->num_tables(); ++i) tables_->table(i).SetGate(gate);
  }

  // Table name -> its keys in the set, which is empty afterwards.
  std::map<std::string, std::vector<int64_t>> StealTouched(TouchedKeySet& touched) const {
    std::map<std::string, std::vector<int64_t>> keys;
    for (const TouchedKeySet::Entry& e : touched.Steal())
      for (size_t i = 0; i < tables_->num_tables(); ++i)
        if (e.table == &tables_->table(i)) keys[tables_->table(i).config().name].push_back(e.key);
    return keys;
  }

  // (weights and optimizer state as the row has them, timestamp), or None.
  nb::object Row(const std::string& name, int64_t key) const {
    std::vector<float> floats;
    uint32_t ts = 0;
    if (!At(name).GetRow(key, &floats, &ts)) return nb::none();
    return nb::make_tuple(nb::cast(floats), ts);
  }

  void Save(const std::string& basename, int shards) const {
    nb::gil_scoped_release release;
    tables_->Save(basename, shards);
  }
  void SaveBase(const std::string& basename, int shards) {
    nb::gil_scoped_release release;
    tables_->SaveBase(basename, shards);
  }
  bool SaveDelta(const std::string& basename, int shards) {
    nb::gil_scoped_release release;
    return tables_->SaveDelta(basename, shards);
  }
  nb::dict Restore(const std::variant<std::string, std::vector<std::string>>& basenames, const std::vector<std::string>& modes,
                   const OldNames& old_names, uint64_t part, uint64_t parts) {
    const auto* one = std::get_if<std::string>(&basenames);
    const std::vector<std::string> all = one ? std::vector<std::string>{*one} : std::get<1>(basenames);
    const RestoreOptions options = MakeOptions(modes, old_names, part, parts);
    RestoreReport report;
    {
      nb::gil_scoped_release release;
      report = RestoreTables(tables_.get(), all, options);
    }
    return AsDict(report);
  }
  void SaveTable(const std::string& name, const std::string& basename, int shards) const {
    const EmbeddingTable& t = At(name);
    nb::gil_scoped_release release;
    monolith::SaveTable(t, basename, shards);
  }
  nb::dict RestoreTable(const std::string& name, const std::string& basename, const std::vector<std::string>& modes,
                        const OldNames& old_names, uint64_t part, uint64_t parts) {
    EmbeddingTable& t = At(name);
    const RestoreOptions options = MakeOptions(modes, old_names, part, parts);
    RestoreReport report;
    {
      nb::gil_scoped_release release;
      report = monolith::RestoreTable(&t, basename, options);
    }
    return AsDict(report);
  }
  void Clear(const std::string& name) {
    EmbeddingTable& t = At(name);
    nb::gil_scoped_release release;
    t.Clear();
  }

  std::map<std::string, size_t> Sizes() const {
    std::map<std::string, size_t> sizes;
    for (size_t i = 0; i < tables_->num_tables(); ++i) sizes[tables_->table(i).config().name] = tables_->table(i).size();
    return sizes;
  }
  size_t Memory() const {
    size_t n = 0;
    for (size_t i = 0; i < tables_->num_tables(); ++i) n += tables_->table(i).memory_bytes();
    return n;
  }
  void SetTouched(std::shared_ptr<TouchedKeySet> touched) { tables_->SetTouched(touched); }
  void Close() { CloseTables(name_); }

 private:
  EmbeddingTable& Checked(const std::string& name, const Keys& keys, const Floats& values, const char* what) const {
    EmbeddingTable& t = At(name);
    if (values.shape(0) != keys.shape(0) || values.shape(1) != static_cast<size_t>(t.dim()))
      throw Error(ErrorCode::kUsage, "table '" + name + "': " + std::to_string(keys.shape(0)) + " keys need " + what + " of shape [" +
                                         std::to_string(keys.shape(0)) + ", " + std::to_string(t.dim()) + "], not [" +
                                         std::to_string(values.shape(0)) + ", " + std::to_string(values.shape(1)) + "]");
    return t;
  }

  std::string name_;
  std::shared_ptr<MultiTable> tables_;
};

}  // namespace

void BindTables(nb::module_& m) {
  nb::class_<Tables>(m, "MultiTable",
                     "All embedding tables of one model in this process. Made on first use of `shared_name`; an object of the same "
                     "name, and the TensorFlow ops, see the same rows. `configs`: table name -> serialized EmbeddingHashTableConfig.")
      .def(nb::init<const std::string&, const std::map<std::string, nb::bytes>&>(), nb::arg("shared_name"), nb::arg("configs"))
      .def_prop_ro("table_names", &Tables::Names, "Names of the tables, sorted.")
      .def("dim", [](const Tables& t, const std::string& name) { return t.At(name).dim(); }, nb::arg("table"),
           "Floats in one embedding.")
      .def("lookup", &Tables::Lookup, nb::arg("table"), nb::arg("keys"),
           "float32 [n, dim] for int64 keys [n]; zeros for an absent key, which is not inserted.")
      .def("contains", &Tables::Contains, nb::arg("table"), nb::arg("keys"), "A list of bool, one per key.")
      .def("assign", &Tables::Assign, nb::arg("table"), nb::arg("keys"), nb::arg("values"), nb::arg("req_time") = 0,
           "Overwrites weights by values [n, dim]; optimizer state stays, an absent key gets a fresh one. req_time: unix seconds.")
      .def("assign_add", &Tables::AssignAdd, nb::arg("table"), nb::arg("keys"), nb::arg("values"), nb::arg("req_time") = 0,
           "Adds values [n, dim]; an absent key starts from its initial weights. req_time: unix seconds.")
      .def("optimize", &Tables::Optimize, nb::arg("table"), nb::arg("keys"), nb::arg("grads"), nb::arg("learning_rates"),
           nb::arg("req_time") = 0, nb::arg("global_step") = 0, nb::arg("dedup") = false,
           "One optimizer step per key with grads [n, dim] and one learning rate per segment; absent keys are inserted first, "
           "duplicates are applied one after the other, or with `dedup` their gradients are summed first. req_time: unix seconds.")
      .def("erase", &Tables::Erase, nb::arg("table"), nb::arg("keys"), "Takes keys away; how many were there.")
      .def("evict", &Tables::Evict, nb::arg("table"), nb::arg("now") = nb::none(),
           "Takes away what has expired at `now` (seconds; None: the newest time the table has seen); how many rows that were.")
      .def("reinitialize", &Tables::Reinitialize, nb::arg("table"), nb::arg("keys"), nb::arg("now") = nb::none(),
           "Weights and state as for new keys. Returns for each 0 (inserted) or 1 (it was there), or -1 when there is no such table. "
           "now: unix seconds, by default those of the clock.")
      .def("set_gate", &Tables::SetGate, nb::arg("gate").none(), nb::arg("table") = nb::none(),
           "Puts an OccurrenceGate in front of one table, or of all; None takes it away.")
      .def("set_touched", [](Tables& t, std::shared_ptr<TouchedKeySet> touched) { t.SetTouched(std::move(touched)); },
           nb::arg("touched").none(), "A TouchedKeySet that is told the keys that optimize() and reinitialize() change; None: no more.")
      .def("steal_touched", &Tables::StealTouched, nb::arg("touched"),
           "Empties a TouchedKeySet; returns table name -> its keys in it.")
      .def("row", &Tables::Row, nb::arg("table"), nb::arg("key"),
           "(weights followed by optimizer state, unix seconds of the last update), or None for an absent key.")
      .def("save", &Tables::Save, nb::arg("basename"), nb::arg("shards") = -1,
           "Writes <basename>-ddddd-of-ddddd and <basename>.meta-ddddd-of-ddddd, whole or not at all; -1 shards: by size (1 to 4). "
           "Rows that have expired are left out.")
      .def("save_base", &Tables::SaveBase, nb::arg("basename"), nb::arg("shards") = -1,
           "As save(); from then on changes are remembered, so that save_delta() can follow.")
      .def("save_delta", &Tables::SaveDelta, nb::arg("basename"), nb::arg("shards") = -1,
           "Writes what changed since the last save_base() or save_delta() to <basename>.delta.…; restore(basename) reads it together "
           "with those before it. Where there is none to continue, as after a restore, it is a save_base(). True: a delta was written.")
      .def("restore", &Tables::Restore, nb::arg("basenames"), nb::arg("modes") = std::vector<std::string>(),
           nb::arg("old_names") = OldNames(), nb::arg("part") = 0, nb::arg("parts") = 1,
           "Replaces the content of all tables by what a save wrote, of one basename or of several (those of all servers). After an "
           "error in the rows the tables are empty; what is found before that leaves them as they were.\n\nmodes: what may differ from the checkpoint: 'pad' (the table has more weights or segments: "
           "they start from the initializer), 'truncate' (it has fewer), 'reset-state' (another optimizer: its state starts afresh), "
           "'known-tables' (a table of the checkpoint that is not here becomes an error). old_names: table -> names it may have in the "
           "checkpoint. part, parts: keep the keys with floormod(key, parts) == part alone.\n\nReturns {rows, adapted_rows, "
           "other_parts, unknown_tables, missing_tables}.")
      .def("save_table", &Tables::SaveTable, nb::arg("table"), nb::arg("basename"), nb::arg("shards") = -1,
           "Writes one table as plain TFRecords of EntryDump.")
      .def("restore_table", &Tables::RestoreTable, nb::arg("table"), nb::arg("basename"),
           nb::arg("modes") = std::vector<std::string>(), nb::arg("old_names") = OldNames(), nb::arg("part") = 0, nb::arg("parts") = 1,
           "Replaces the content of one table by what save_table() wrote; the arguments of restore(). old_names are file names.")
      .def("summary", [](const Tables& t, const std::string& name) { return Summary(t.At(name)); }, nb::arg("table"),
           "What the table is made of, its rows and the bytes of rows and keys, as a JSON object.")
      .def("clear", &Tables::Clear, nb::arg("table"), "Removes all rows.")
      .def("sizes", &Tables::Sizes, "Table name -> number of rows.")
      .def("memory", &Tables::Memory, "Bytes of memory that rows and indexes take.")
      .def("close", &Tables::Close, "Forgets the name; the tables go when the last object that uses them does.");
  m.def("set_table_memory", &ChunkArena::SetBudget, nb::arg("bytes"),
        "The most that all tables of the process may take, 0 for no limit: what goes beyond raises UnavailableError and changes nothing.");
  m.def("table_memory", &ChunkArena::memory_bytes, "Bytes that the tables of the process have taken, with those kept for tables to come.");
  m.def("checkpoint_chain", &CheckpointChain, nb::arg("basename"), nb::call_guard<nb::gil_scoped_release>(),
        "The basenames of the checkpoints that `basename` needs, the base first and itself last.");
  m.def("feature_counts", &FeatureCounts, nb::arg("basename"), nb::call_guard<nb::gil_scoped_release>(),
        "Table name -> number of rows, as the metadata of a whole checkpoint of several tables has it.");
  m.def("compact_checkpoint", &CompactChain, nb::arg("source"), nb::arg("target"), nb::arg("shards") = -1,
        nb::call_guard<nb::gil_scoped_release>(),
        "Writes a base and its deltas as one whole checkpoint `target` (which may be `source`), row by row; returns the number of rows. "
        "Rows that expired since the base are kept: the files do not say how long rows are. A save or table-evict leaves them out.");
}

}  // namespace monolith
