// RecordStream: its thread calls back into Python for every source, so whoever ends it must not hold the GIL.
#include "core/io/record_stream.h"

#include <mutex>
#include <set>

#include "core/base/error.h"
#include "core/base/stop.h"
#include "core/parse/parse.h"
#include "python/callback_source.h"

namespace monolith {
namespace {

// Streams that are alive, so that their threads end before the interpreter does.
std::mutex live_mutex;
std::set<RecordStream*> live;

void Unlist(RecordStream* stream) {
  std::lock_guard<std::mutex> lock(live_mutex);
  live.erase(stream);
}

void Delete(RecordStream* stream) {
  if (nb::is_alive() && PyGILState_Check()) {
    nb::gil_scoped_release release;
    Unlist(stream);
    delete stream;
  } else {
    Unlist(stream);
    delete stream;
  }
}

RecordStream::NextReader WrapNextReader(nb::object next_reader) {
  return [held = Held(std::move(next_reader))]() -> std::shared_ptr<RecordReader> {
    nb::gil_scoped_acquire acquire;
    try {
      nb::object reader = (*held)();
      if (reader.is_none()) return nullptr;
      return nb::cast<std::shared_ptr<RecordReader>>(reader);
    } catch (const nb::python_error& e) {
      ThrowFromPython(e, "opening the next source");
    } catch (const nb::cast_error&) {
      throw Error(ErrorCode::kInternal, "next_reader() must return a reader or None");
    }
  };
}

BadRecords::Warn WrapWarn(nb::object warn) {
  if (warn.is_none()) return nullptr;
  return [held = Held(std::move(warn))](const std::string& message) {
    nb::gil_scoped_acquire acquire;
    try {
      (*held)(message);
    } catch (const nb::python_error& e) {
      ThrowFromPython(e, "telling of a bad record");
    }
  };
}

std::shared_ptr<RecordStream> MakeStream(const std::string& type, size_t batch_size, nb::object next_reader, size_t batches_ahead,
                                         uint64_t skip_records, uint64_t start_records, uint64_t start_source_index,
                                         const std::string& on_bad_record, nb::object warn,
                                         std::vector<std::shared_ptr<RecordParser>> parsers) {
  RecordStreamOptions options;
  options.batches_ahead = batches_ahead;
  options.skip_records = skip_records;
  options.start.records = start_records;
  options.start.source_index = start_source_index;
  options.bad_records = std::make_shared<BadRecords>(ParseOnBadRecord(on_bad_record), on_bad_record, WrapWarn(std::move(warn)));
  if (!options.bad_records->fail() && !parsers.empty()) {
    options.check = [parsers = std::move(parsers), scratch = std::make_shared<ParsedColumns>()](std::string_view record) {
      for (const auto& parser : parsers) parser->Check(record, scratch.get());
    };
  }
  auto next = WrapNextReader(std::move(next_reader));
  std::shared_ptr<RecordStream> stream(new RecordStream(ParseRecordType(type), batch_size, std::move(next), std::move(options)), Delete);
  std::lock_guard<std::mutex> lock(live_mutex);
  live.insert(stream.get());
  return stream;
}

void StopAll() {
  nb::gil_scoped_release release;
  std::lock_guard<std::mutex> lock(live_mutex);
  for (RecordStream* stream : live) stream->Stop();
}

// The interpreter ends: threads that call into it first, then the names that would keep streams beyond it.
void AtExit() {
  StopAll();
  nb::gil_scoped_release release;
  UnregisterAllStreams();
}

nb::dict PositionOf(const RecordStream& stream, uint64_t records) {
  const StreamPosition at = stream.PositionAfter(records);
  nb::dict d;
  d["records"] = at.records;
  d["source"] = at.source;
  d["source_index"] = at.source_index;
  d["offset"] = at.offset;
  return d;
}

std::vector<nb::bytes> RecordsOf(const RecordBatch& batch) {
  std::vector<nb::bytes> records;
  records.reserve(batch.size());
  for (size_t i = 0; i < batch.size(); ++i) records.emplace_back(batch.record(i).data(), batch.record(i).size());
  return records;
}

}  // namespace

void BindStream(nb::module_& m) {
  nb::class_<RecordBatch>(m, "RecordBatch", "Records of one batch.")
      .def_ro("first", &RecordBatch::first, "Number of its first record in the whole stream.")
      .def_ro("end", &RecordBatch::end, "Number of the next record behind it.")
      .def_prop_ro("type", [](const RecordBatch& b) { return RecordTypeName(b.type); })
      .def("__len__", &RecordBatch::size)
      .def("records", &RecordsOf, "The payloads as bytes.");
  nb::class_<RecordStream>(m, "RecordStream",
                           "Batches of records of many sources, read ahead on a thread of their own.\n\n"
                           "next_reader() returns the next reader or None. skip_records are passed over first. "
                           "start_records, start_source_index: where numbering begins. on_bad_record: fail, skip, or the path of a file "
                           "that keeps the bytes; then records that a reader or one of the parsers refuses are left out, and warn(message) "
                           "hears of the first ones, on another thread.")
      .def(nb::new_(&MakeStream), nb::arg("type"), nb::arg("batch_size"), nb::arg("next_reader"),
           nb::arg("batches_ahead") = 4, nb::arg("skip_records") = 0, nb::arg("start_records") = 0,
           nb::arg("start_source_index") = 0, nb::arg("on_bad_record") = "fail", nb::arg("warn") = nb::none(),
           nb::arg("parsers") = std::vector<std::shared_ptr<RecordParser>>{})
      .def("next", &RecordStream::Next, nb::call_guard<nb::gil_scoped_release>(),
           "The next RecordBatch, None at the end.")
      .def_prop_ro("bad_records", &RecordStream::bad_records, "How many were left out so far.")
      .def("position_after", &PositionOf, nb::arg("records"),
           "dict of records, source, source_index, offset; `records` is the end of a batch handed out not long ago.")
      .def("stop", &RecordStream::Stop, nb::call_guard<nb::gil_scoped_release>());
  m.def("register_stream", &RegisterStream, nb::arg("name"), nb::arg("stream"), nb::call_guard<nb::gil_scoped_release>(),
        "Makes the stream visible to the op that reads it by name.");
  m.def("find_stream", &FindStream, nb::arg("name"), "The stream of that name or None.");
  m.def("unregister_stream", &UnregisterStream, nb::arg("name"), nb::call_guard<nb::gil_scoped_release>());
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(&AtExit));
}

}  // namespace monolith
