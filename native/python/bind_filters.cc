// Occurrence filters, the gates in front of tables, and sets of touched keys as Python sees them.
#include <nanobind/ndarray.h>

#include "core/base/error.h"
#include "core/tables/filters/occurrence_gate.h"
#include "core/tables/filters/probabilistic_filter.h"
#include "core/tables/filters/sliding_filter.h"
#include "core/tables/touched_keys.h"
#include "python/bind.h"

namespace monolith {
namespace {

using Ids = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Counts = std::optional<std::vector<uint32_t>>;

const uint32_t* Checked(const Ids& ids, const Counts& counts) {
  if (!counts) return nullptr;
  if (counts->size() != ids.shape(0))
    throw Error(ErrorCode::kUsage, std::to_string(ids.shape(0)) + " ids but " + std::to_string(counts->size()) + " counts");
  for (uint32_t c : *counts)
    if (c == 0) throw Error(ErrorCode::kUsage, "a count must be above 0");
  return counts->data();
}

std::vector<int> AddToSliding(SlidingFilter& filter, const Ids& ids, const Counts& counts) {
  std::vector<uint8_t> old(ids.shape(0));
  const uint32_t* c = Checked(ids, counts);
  {
    nb::gil_scoped_release release;
    filter.Add(ids.data(), c, old.size(), old.data());
  }
  return {old.begin(), old.end()};
}

std::vector<int> AddToCounting(CountingFilter& filter, const Ids& ids, const Counts& counts) {
  const uint32_t* c = Checked(ids, counts);
  std::vector<int> old;
  for (size_t i = 0; i < ids.shape(0); ++i) old.push_back(static_cast<int>(filter.Add(ids.data()[i], c ? c[i] : 1)));
  return old;
}

nb::dict SplitInfo(const CountingSplit& split) {
  nb::dict d;
  d["capacity"] = split.capacity;
  d["total_size"] = split.cells.total_size();
  d["cells"] = split.cells.size();
  d["num_elements"] = split.Elements();
  d["failure_count"] = split.failure_count.load();
  d["fill_rate"] = split.fill_rate;
  return d;
}

nb::dict SlidingInfo(SlidingFilter& filter) {
  const SlidingFilter::State state = filter.state();
  nb::list splits;
  for (int i = 0; i < filter.split_num(); ++i) splits.append(SplitInfo(filter.split(static_cast<size_t>(i))));
  nb::dict d;
  d["head"] = state.head;
  d["head_increment"] = state.head_increment;
  d["failure_count"] = state.failure_count;
  d["max_backward_step"] = filter.max_backward_step();
  d["splits"] = splits;
  return d;
}

std::vector<bool> Decide(const OccurrenceGate& gate, const Ids& ids, const Counts& counts, int64_t global_step) {
  std::vector<uint8_t> drop(ids.shape(0));
  gate.Decide(ids.data(), Checked(ids, counts), drop.size(), global_step, drop.data());
  return {drop.begin(), drop.end()};
}

auto Stolen(TouchedKeySet& set) {
  const auto entries = set.Steal();
  int64_t* keys = new int64_t[std::max<size_t>(1, entries.size())];
  nb::capsule owner(keys, [](void* p) noexcept { delete[] static_cast<int64_t*>(p); });
  for (size_t i = 0; i < entries.size(); ++i) keys[i] = entries[i].key;
  return nb::ndarray<nb::numpy, int64_t, nb::ndim<1>>(keys, {entries.size()}, owner);
}

}  // namespace

void BindFilters(nb::module_& m) {
  nb::class_<OccurrenceFilter>(m, "OccurrenceFilter", "Keeps ids out of tables until they have occurred often enough.")
      .def_prop_ro("split_num", &OccurrenceFilter::split_num, "Files it is saved in; 0: it has nothing to save.")
      .def_prop_ro("max_threshold", &OccurrenceFilter::max_threshold, "The largest threshold it can count to.")
      .def("save", &OccurrenceFilter::Save, nb::arg("basename"), nb::call_guard<nb::gil_scoped_release>(),
           "Writes <basename>-ddddd-of-ddddd, one file for each split, all or none. Counting waits meanwhile.")
      .def("restore", &OccurrenceFilter::Restore, nb::arg("basename"), nb::call_guard<nb::gil_scoped_release>(),
           "Takes over what save() wrote. After an error the filter is as it was.")
      .def("restore_if_there", &OccurrenceFilter::RestoreIfThere, nb::arg("basename"), nb::call_guard<nb::gil_scoped_release>(),
           "False, and the filter is empty, when there are no files.")
      .def("clear", &OccurrenceFilter::Clear, "Forgets all counts.");

  nb::class_<PassAllFilter, OccurrenceFilter>(m, "PassAllFilter", "Keeps nothing out.").def(nb::init<>());

  nb::class_<CountingFilter, OccurrenceFilter>(
      m, "CountingFilter", "One set of 16-bit cells that count to 15 (spec 30, 8.2). capacity: ids; fill_rate: cells for each.")
      .def(nb::init<uint64_t, double>(), nb::arg("capacity"), nb::arg("fill_rate") = 1.5)
      .def("add", AddToCounting, nb::arg("ids"), nb::arg("counts") = nb::none(),
           "Counts int64 ids [n] in order, once each or counts [n] times; returns the counts before.")
      .def("get", &CountingFilter::Get, nb::arg("id"), "The count of an id, 0..15; 15 too when there is no cell for it.")
      .def("info", [](const CountingFilter& f) { return SplitInfo(f.split()); }, "Sizes and numbers, as a dict.");

  nb::class_<SlidingFilter, OccurrenceFilter>(
      m, "SlidingFilter",
      "A ring of counting splits that forgets the oldest ids (spec 30, 8.3). capacity: ids it remembers, 300 or more; split_num: 5 or "
      "more.")
      .def(nb::init<uint64_t, int>(), nb::arg("capacity") = 300000000, nb::arg("split_num") = 7)
      .def("add", AddToSliding, nb::arg("ids"), nb::arg("counts") = nb::none(),
           "Counts int64 ids [n] in order, once each or counts [n] times; returns the counts before.")
      .def("get", &SlidingFilter::Get, nb::arg("id"), "The count of an id, 0..15; 15 too when there is no cell for it.")
      .def("info", SlidingInfo, "Sizes and numbers of the ring and its splits, as a dict.");

  nb::class_<ProbabilisticFilter, OccurrenceFilter>(
      m, "ProbabilisticFilter", "Lets absent ids in by chance (spec 30, 8.4). Default seed: 0.")
      .def(nb::init<bool, uint64_t>(), nb::arg("equal_probability") = false, nb::arg("seed") = 0)
      .def_static("insert_probability", &ProbabilisticFilter::InsertProbability, nb::arg("threshold"), nb::arg("count"),
                  nb::arg("equal_probability") = false, "The chance that `count` occurrences get an absent id in.");

  nb::class_<OccurrenceGate>(
      m, "OccurrenceGate",
      "A filter with the thresholds of slots: a serialized SlotOccurrenceThresholdConfig. Gates may share a filter and its counts.")
      .def("__init__",
           [](OccurrenceGate* self, std::shared_ptr<OccurrenceFilter> filter, const nb::bytes& config) {
             new (self) OccurrenceGate(std::move(filter), SlotThresholds::Decode({config.c_str(), config.size()}));
           },
           nb::arg("filter"), nb::arg("config"))
      .def_prop_ro("idle", &OccurrenceGate::idle, "It never keeps anything out.")
      .def("decide", Decide, nb::arg("ids"), nb::arg("counts") = nb::none(), nb::arg("global_step") = 0,
           "For int64 ids [n] that are in no table: counts them and returns for each whether it is to stay out.");

  nb::class_<TouchedKeySet>(m, "TouchedKeySet",
                            "The keys that changed since the last steal(); empties itself before it would hold more than capacity + 1.")
      .def(nb::init<int64_t, int64_t>(), nb::arg("capacity") = int64_t{TouchedKeySet::kDefaultCapacity},
           nb::arg("concurrency_level") = int64_t{TouchedKeySet::kDefaultConcurrency})
      .def_prop_ro("capacity", &TouchedKeySet::capacity, "Keys, less one, that it holds at most.")
      .def("__len__", &TouchedKeySet::size)
      .def("insert",
           [](TouchedKeySet& set, const Ids& ids) {
             nb::gil_scoped_release release;
             return set.Insert(ids.data(), ids.shape(0));
           },
           nb::arg("ids"), "Inserts int64 ids [n]; returns how many keys were dropped to make room.")
      .def("steal", Stolen, "All keys as int64 [k], in no order; the set is empty then.");
}

}  // namespace monolith
