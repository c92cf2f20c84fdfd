// Readers, sinks, chains and record streams as Python sees them.
#include "python/bind.h"

#include <optional>
#include <string>

#include "core/base/atomic_file.h"
#include "core/base/crc32c.h"
#include "core/base/error.h"
#include "core/base/random.h"
#include "core/base/snappy.h"
#include "core/base/stop.h"
#include "core/io/byte_source.h"
#include "core/io/fd_sink.h"
#include "core/io/frame.h"
#include "core/io/shard_reader.h"
#include "core/io/tfrecord.h"
#include "core/operators/chain.h"
#include "core/operators/shuffle.h"
#include "python/callback_source.h"

namespace monolith {
namespace {

using Released = nb::call_guard<nb::gil_scoped_release>;

nb::bytes ToBytes(std::string_view s) { return nb::bytes(s.data(), s.size()); }

std::string_view View(const nb::bytes& b) { return {b.c_str(), b.size()}; }

std::shared_ptr<RecordReader> MakeReader(std::shared_ptr<ByteSource> source, const FrameOptions& options,
                                         const std::string& format, uint64_t start_offset) {
  if (format == "pb") return std::make_shared<FrameReader>(std::move(source), options, start_offset);
  if (format == "tfrecord") return std::make_shared<TFRecordReader>(std::move(source), options.max_record_size, start_offset);
  throw Error(ErrorCode::kUsage, "format '" + format + "': choose pb or tfrecord");
}

// The next record under a released GIL; false at the end and after a stop request.
bool NextReleased(RecordReader& reader, Record* record) {
  nb::gil_scoped_release release;
  try {
    return reader.Next(record);
  } catch (const Interrupted&) {
    return false;
  } catch (const BadRecord& e) {
    throw Error(e.code(), reader.name() + ": " + reader.Place(record->offset) + ": " + e.what());
  }
}

std::shared_ptr<Chain> MakeChain(std::vector<std::shared_ptr<Operator>> operators, std::shared_ptr<RecordSink> sink,
                                 std::optional<uint64_t> limit_in, std::optional<uint64_t> limit_out,
                                 const std::string& on_bad_record, std::function<void(const std::string&)> warn,
                                 std::optional<std::string> type, bool time_operators, std::vector<std::string> stages) {
  ChainOptions options;
  if (type) options.type = ParseRecordType(*type);
  options.time_operators = time_operators;
  options.stages = std::move(stages);
  options.limit_in = limit_in.value_or(ChainOptions::kNoLimit);
  options.limit_out = limit_out.value_or(ChainOptions::kNoLimit);
  options.on_bad_record = ParseOnBadRecord(on_bad_record);
  options.set_aside_path = on_bad_record;
  options.warn = std::move(warn);
  return std::make_shared<Chain>(std::move(operators), std::move(sink), std::move(options));
}

nb::dict StatsOf(const Chain& chain) {
  const StreamStats s = chain.stats();
  nb::dict d;
  d["records_in"] = s.records_in;
  d["records_out"] = s.records_out;
  d["bytes_in"] = s.bytes_in;
  d["bytes_out"] = s.bytes_out;
  d["bad_records"] = s.bad_records;
  return d;
}

nb::list OperatorsOf(const Chain& chain) {
  nb::list all;
  for (const OperatorStats& op : chain.Operators()) {
    nb::dict d;
    d["name"] = op.name;
    d["in"] = op.in;
    d["out"] = op.out;
    d["bad"] = op.bad;
    d["dropped"] = op.dropped;
    d["counts"] = op.counts;
    d["seconds"] = op.seconds;
    all.append(d);
  }
  return all;
}

void BindFrames(nb::module_& m) {
  nb::class_<FrameOptions>(m, "FrameOptions", "How frames are laid out; see monolith_cli.records.framing.")
      .def(
          "__init__",
          [](FrameOptions* self, bool has_sort_id, bool kafka_dump, bool kafka_dump_prefix, bool lagrangex_header,
             const std::string& type, uint64_t max_record_size) {
            new (self) FrameOptions{lagrangex_header, kafka_dump_prefix,     has_sort_id,
                                    kafka_dump,       ParseRecordType(type), max_record_size};
          },
          nb::kw_only(), nb::arg("has_sort_id") = false, nb::arg("kafka_dump") = false,
          nb::arg("kafka_dump_prefix") = false, nb::arg("lagrangex_header") = false, nb::arg("type") = "instance",
          nb::arg("max_record_size") = uint64_t{1} << 30)
      .def_ro("has_sort_id", &FrameOptions::has_sort_id)
      .def_ro("kafka_dump", &FrameOptions::kafka_dump)
      .def_ro("kafka_dump_prefix", &FrameOptions::kafka_dump_prefix)
      .def_ro("lagrangex_header", &FrameOptions::lagrangex_header)
      .def_ro("max_record_size", &FrameOptions::max_record_size);
  m.def(
      "frame",
      [](nb::bytes payload, const FrameOptions& options) {
        std::string out;
        AppendFrame(options, View(payload), &out);
        return ToBytes(out);
      },
      nb::arg("payload"), nb::arg("options") = FrameOptions{}, "One record as a frame with empty headers.");
  m.def(
      "tfrecord",
      [](nb::bytes payload) {
        std::string out;
        AppendTFRecord(View(payload), &out);
        return ToBytes(out);
      },
      nb::arg("payload"), "One record in TFRecord framing.");
}

void BindSources(nb::module_& m) {
  nb::class_<ByteSource>(m, "ByteSource", "Bytes of one source.")
      .def_prop_ro("name", [](const ByteSource& s) { return s.name(); })
      .def(
          "readinto",
          [](ByteSource& self, nb::object to) -> size_t {
            PyBuffer buffer(to.ptr(), PyBUF_WRITABLE);
            try {
              nb::gil_scoped_release release;
              return self.Read(buffer.data(), buffer.size());
            } catch (const Interrupted&) {
              PyErr_SetNone(InterruptedType());
              throw nb::python_error();
            }
          },
          nb::arg("buffer"), "Reads at most len(buffer) bytes; returns how many, 0 at the end. Raises Interrupted when stopped.")
      .def("cancel", &ByteSource::Cancel, "Makes a read that waits raise Interrupted.");
  m.attr("Interrupted") = nb::borrow(InterruptedType());

  m.def(
      "fd_source",
      [](int fd, const std::string& name, bool owned, nb::bytes prefix) -> std::shared_ptr<ByteSource> {
        return std::make_shared<FdSource>(fd, name, owned, std::string(View(prefix)));
      },
      nb::arg("fd"), nb::arg("name"), nb::arg("owned") = false, nb::arg("prefix") = nb::bytes("", 0),
      "Bytes of a file descriptor, after `prefix`, which was already read from it; `owned`: closes it at the end.");
  m.def(
      "memory_source",
      [](nb::bytes data, const std::string& name) -> std::shared_ptr<ByteSource> {
        return std::make_shared<MemorySource>(std::string(View(data)), name);
      },
      nb::arg("data"), nb::arg("name") = "memory");
  m.def(
      "callback_source",
      [](nb::object file, const std::string& name) { return MakeCallbackSource(std::move(file), name); },
      nb::arg("file"), nb::arg("name"),
      "Bytes of a Python object with `readinto`, and `cancel` if it can wait. Called from any thread.");
  m.def(
      "snappy_source",
      [](std::shared_ptr<ByteSource> source) -> std::shared_ptr<ByteSource> {
        return MakeHadoopSnappySource(std::move(source));
      },
      nb::arg("source"), "The content of Hadoop block snappy.");
}

void BindReaders(nb::module_& m) {
  nb::class_<RecordReader>(m, "RecordReader", "Records of one source; iterating yields their bytes.")
      .def_prop_ro("name", [](const RecordReader& r) { return r.name(); })
      .def_prop_ro("offset", &RecordReader::offset, "Byte of the next record in the uncompressed source.")
      .def_prop_ro("broken", &RecordReader::broken, "The framing turned out to be broken.")
      .def("set_open_end", &RecordReader::SetOpenEnd, "An incomplete record at the end is the end for now: the source may grow.")
      .def("cancel", &RecordReader::Cancel)
      .def("__iter__", [](nb::object self) { return self; })
      .def("__next__",
           [](RecordReader& self) {
             Record record;
             if (!NextReleased(self, &record)) throw nb::stop_iteration();
             return ToBytes(record.payload);
           })
      .def(
          "next",
          [](RecordReader& self) -> nb::object {
            Record record;
            if (!NextReleased(self, &record)) return nb::none();
            return nb::make_tuple(ToBytes(record.payload), record.offset, record.end);
          },
          "(payload, offset, end) of the next record, None at the end.");
  m.def("reader", &MakeReader, nb::arg("source"), nb::arg("options") = FrameOptions{}, nb::arg("format") = "pb",
        nb::arg("start_offset") = 0, Released(),
        "Reads records of a ByteSource; format pb or tfrecord; skips to start_offset in the uncompressed bytes.");
  m.def(
      "FdReader",
      [](int fd, const std::string& name, const FrameOptions& options, const std::string& format, uint64_t start_offset,
         bool owned) {
        return MakeReader(std::make_shared<FdSource>(fd, name, owned), options, format, start_offset);
      },
      nb::arg("fd"), nb::arg("name"), nb::arg("options") = FrameOptions{}, nb::arg("format") = "pb",
      nb::arg("start_offset") = 0, nb::arg("owned") = false, "Reads records of a file descriptor.");
  m.def(
      "CallbackReader",
      [](nb::object file, const std::string& name, const FrameOptions& options, const std::string& format,
         uint64_t start_offset) {
        auto source = MakeCallbackSource(std::move(file), name);
        nb::gil_scoped_release release;
        return MakeReader(std::move(source), options, format, start_offset);
      },
      nb::arg("file"), nb::arg("name"), nb::arg("options") = FrameOptions{}, nb::arg("format") = "pb",
      nb::arg("start_offset") = 0, "Reads records out of a Python object with `readinto`.");
  m.def(
      "MemoryReader",
      [](nb::bytes data, const FrameOptions& options, const std::string& format, const std::string& name) {
        return MakeReader(std::make_shared<MemorySource>(std::string(View(data)), name), options, format, 0);
      },
      nb::arg("data"), nb::arg("options") = FrameOptions{}, nb::arg("format") = "pb", nb::arg("name") = "memory",
      "Reads records out of bytes.");
  m.def(
      "shard_reader",
      [](std::shared_ptr<RecordReader> reader, uint64_t index, uint64_t count) -> std::shared_ptr<RecordReader> {
        return std::make_shared<ShardReader>(std::move(reader), index, count);
      },
      nb::arg("reader"), nb::arg("index"), nb::arg("count"), "Record k of the reader belongs to shard k mod count.");
}

void BindSinks(nb::module_& m) {
  nb::class_<RecordSink>(m, "RecordSink", "Where records go.")
      .def(
          "write",
          [](RecordSink& self, nb::bytes payload) {
            Record record;
            record.payload = View(payload);
            nb::gil_scoped_release release;
            self.Write(record);
          },
          nb::arg("payload"), "Writes one record; it leaves at the latest with flush().")
      .def("flush", &RecordSink::Flush, Released());
  m.def(
      "FdSink",
      [](int fd, const std::string& name, bool owned) -> std::shared_ptr<RecordSink> {
        return std::make_shared<FdSink>(fd, name, owned);
      },
      nb::arg("fd"), nb::arg("name"), nb::arg("owned") = false, "Writes the bare wire to a file descriptor.");
  nb::class_<AtomicFile>(m, "AtomicFile", "A file that appears whole, by rename, or not at all.")
      .def(nb::init<std::string, mode_t>(), nb::arg("path"), nb::arg("mode") = 0)
      .def_prop_ro("path", &AtomicFile::path)
      .def("fileno", &AtomicFile::fd)
      .def("write", [](AtomicFile& self, nb::bytes data) { self.Write(View(data)); }, nb::arg("data"))
      .def("flush", &AtomicFile::Flush, Released())
      .def("commit", &AtomicFile::Commit, Released(), "Syncs and renames into place; without it nothing has happened.")
      .def("abandon", &AtomicFile::Abandon, "Nothing has happened; does nothing after commit().");
}

void BindChain(nb::module_& m) {
  nb::class_<Operator>(m, "Operator", "Filters or changes records.")
      .def_prop_ro("name", &Operator::name)
      .def_prop_ro("holds_back", &Operator::HoldsBack, "Whether records that were processed are still to leave.")
      .def("dropped_by", &Operator::DroppedBy, "Records dropped so far, by reason.");
  m.def(
      "shuffle_operator",
      [](uint64_t seed, size_t max_records, size_t max_bytes) -> std::shared_ptr<Operator> {
        return std::make_shared<ShuffleOperator>(seed, max_records, max_bytes);
      },
      nb::arg("seed"), nb::arg("max_records"), nb::arg("max_bytes"));
  nb::class_<Chain>(m, "Chain", "Runs records through operators into a sink.")
      .def(nb::new_(&MakeChain), nb::arg("operators"), nb::arg("sink"), nb::arg("limit_in") = nb::none(),
           nb::arg("limit_out") = nb::none(), nb::arg("on_bad_record") = "fail", nb::arg("warn") = nb::none(),
           nb::arg("type") = nb::none(), nb::arg("time_operators") = false,
           nb::arg("stages") = std::vector<std::string>{},
           "type: a source whose records are of another one is refused. stages: names of operators in messages. on_bad_record: fail, skip or a path; warn(message) hears of the first ten bad records.")
      .def("run", &Chain::Run, nb::arg("reader"), Released(),
           "Runs one source to its end. False when no other is wanted: a limit is reached or a stop was requested.")
      .def("finish", &Chain::Finish, Released(), "After the last source: writes what operators held back.")
      .def("stats", &StatsOf, "records_in, records_out, bytes_in, bytes_out, bad_records; may be called while it runs.")
      .def("operators", &OperatorsOf,
           "Per operator a dict of name, in, out, bad, dropped (reason -> records), counts, seconds (when timed); of a chain at rest.");
}

void BindBase(nb::module_& m) {
  m.def("install_stop_handlers", &InstallStopHandlers,
        "SIGINT and SIGTERM ask to stop at the next record boundary; a second one ends the process at once.");
  m.def("stop_requested", &StopRequested, "The signal that asked to stop, or 0.");
  m.def("random_seed", &RandomSeed, "A seed from the operating system.");
  m.def("crc32c", [](nb::bytes b) { return Crc32c(View(b)); }, nb::arg("data"));
  m.def(
      "snappy_compress",
      [](nb::bytes b) {
        std::string out;
        SnappyCompress(View(b), &out);
        return ToBytes(out);
      },
      nb::arg("data"), "Raw snappy.");
  m.def(
      "snappy_decompress",
      [](nb::bytes b, size_t max) {
        std::string out;
        SnappyDecompress(View(b), &out, max);
        return ToBytes(out);
      },
      nb::arg("data"), nb::arg("max") = size_t{1} << 30);
}

}  // namespace

void BindIo(nb::module_& m) {
  BindBase(m);
  BindFrames(m);
  BindSources(m);
  BindReaders(m);
  BindSinks(m);
  BindChain(m);
  BindStream(m);
}

}  // namespace monolith
