// Sources and sinks at the edges: messages of a queue and columns of a file, whose libraries are Python's.
#include <nanobind/stl/tuple.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/io/message_reader.h"
#include "core/operators/message_sink.h"
#include "core/records/column_reader.h"
#include "core/records/column_writer.h"
#include "python/callback_source.h"

namespace monolith {
namespace {

nb::bytes ToBytes(std::string_view s) { return nb::bytes(s.data(), s.size()); }

// A Python object with next_batch() -> list of bytes or None, passed(messages, left), place(i), cancel().
class PythonMessages : public MessageSource {
 public:
  PythonMessages(nb::object source, std::string name) : source_(Held(std::move(source))), name_(std::move(name)) {}

  bool NextBatch(std::vector<std::string_view>* messages) override {
    nb::gil_scoped_acquire acquire;
    messages->clear();
    batch_.reset();
    try {
      nb::object batch = source_->attr("next_batch")();
      if (batch.is_none()) return false;
      for (nb::handle message : nb::cast<nb::list>(batch)) {
        char* data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(message.ptr(), &data, &size) != 0) throw nb::python_error();
        messages->push_back({data, static_cast<size_t>(size)});
      }
      batch_ = Held(std::move(batch));
      return true;
    } catch (const nb::python_error& e) {
      ThrowFromPython(e, name_);
    }
  }

  void Passed(size_t messages, bool left) override {
    Call([&] { source_->attr("passed")(messages, left); });
  }

  std::string Place(size_t i) const override {
    std::string place;
    Call([&] { place = nb::cast<std::string>(source_->attr("place")(i)); });
    return place;
  }

  const std::string& name() const override { return name_; }

  void Cancel() override {
    Call([&] { source_->attr("cancel")(); });
  }

 private:
  template <class Do>
  void Call(Do call) const {
    nb::gil_scoped_acquire acquire;
    try {
      call();
    } catch (const nb::python_error& e) {
      ThrowFromPython(e, name_);
    }
  }

  std::shared_ptr<nb::object> source_, batch_;
  const std::string name_;
};

MessageSink::Send WrapSend(nb::object send) {
  auto held = Held(std::move(send));
  return [held](const std::vector<Message>& messages) {
    nb::gil_scoped_acquire acquire;
    try {
      nb::list values, keys;
      for (const Message& m : messages) {
        values.append(ToBytes(m.value));
        keys.append(m.has_key ? nb::object(ToBytes(m.key)) : nb::none());
      }
      (*held)(values, keys);
    } catch (const nb::python_error& e) {
      ThrowFromPython(e, "publish");
    }
  };
}

// Where records end whose content an operator has taken.
class NullSink : public RecordSink {
 public:
  void Write(const Record&) override {}
  void WriteRun(std::string_view, uint64_t) override {}
  void Flush() override {}
};

// The columns of one batch and the Python buffers they lie in.
class PythonColumns {
 public:
  // columns: (kind, valid or None, values, data or None, rows or None, offset, count) each.
  void Fill(size_t rows, const nb::list& columns, ColumnBatch* batch) {
    buffers_.clear();
    batch->rows = rows;
    for (nb::handle h : columns) {
      const auto t = nb::cast<nb::tuple>(h);
      const auto kind = nb::cast<std::string>(t[0]);
      ColumnView c;
      c.kind = kind == "int64"    ? ColumnView::Kind::kInt64
               : kind == "uint64" ? ColumnView::Kind::kUint64
               : kind == "float"  ? ColumnView::Kind::kFloat
                                  : ColumnView::Kind::kBytes;
      c.offset = nb::cast<size_t>(t[5]);
      const size_t end = c.offset + nb::cast<size_t>(t[6]);
      const size_t width = c.kind == ColumnView::Kind::kFloat ? 4 : 8;
      c.valid = reinterpret_cast<const uint8_t*>(Memory(t[1], (end + 7) / 8));
      const bool bytes = c.kind == ColumnView::Kind::kBytes;
      c.values = Memory(t[2], end ? width * (end + bytes) : 0);
      c.data = bytes ? Memory(t[3], end ? static_cast<size_t>(LoadLe<int64_t>(c.values + 8 * end)) : 0) : nullptr;
      c.rows = reinterpret_cast<const int64_t*>(Memory(t[4], 8 * (rows + 1)));
      if (c.rows ? c.rows[0] < 0 || static_cast<size_t>(c.rows[rows]) > end - c.offset ||
                       !std::is_sorted(c.rows, c.rows + rows + 1)
                 : end - c.offset < rows)
        throw Error(ErrorCode::kInternal, "a column has fewer values than its rows say");
      batch->columns.push_back(c);
    }
  }
  void Clear() { buffers_.clear(); }

 private:
  const char* Memory(nb::handle buffer, size_t needed) {
    if (buffer.is_none()) return nullptr;
    buffers_.push_back(std::make_unique<PyBuffer>(buffer.ptr(), PyBUF_SIMPLE));
    if (buffers_.back()->size() < needed) throw Error(ErrorCode::kInternal, "a column is shorter than it says");
    return buffers_.back()->data();
  }

  std::vector<std::unique_ptr<PyBuffer>> buffers_;
};

// next_batch: a Python function that gives (rows, columns) or None at the end.
std::shared_ptr<RecordReader> MakeColumnReader(nb::object next_batch, const std::string& name) {
  auto held = Held(std::move(next_batch));
  std::shared_ptr<PythonColumns> columns(new PythonColumns, [](PythonColumns* c) {
    nb::gil_scoped_acquire acquire;
    delete c;
  });
  return std::make_shared<ColumnReader>(name, [held, columns, name](ColumnBatch* batch) {
    nb::gil_scoped_acquire acquire;
    try {
      columns->Clear();
      nb::object made = (*held)();
      if (made.is_none()) return false;
      const auto pair = nb::cast<nb::tuple>(made);
      columns->Fill(nb::cast<size_t>(pair[0]), nb::cast<nb::list>(pair[1]), batch);
      return true;
    } catch (const nb::python_error& e) {
      ThrowFromPython(e, name);
    }
  });
}

ColumnPlan MakePlan(const CsvColumn& c, bool list, size_t element) {
  ColumnPlan plan;
  plan.target = c.target;
  plan.name = c.name;
  plan.whole_fid = c.value == CsvValue::kFid;
  plan.version = c.version;
  plan.slot = c.slot;
  plan.list = list;
  plan.element = element;
  return plan;
}

// take: a Python function of (rows, columns), each (values, value offsets, row offsets, valid bits, count).
std::shared_ptr<ColumnWriter> MakeColumnWriter(const std::vector<std::tuple<CsvColumn, bool, size_t>>& columns,
                                               size_t rows, size_t bytes, nb::object take) {
  auto held = Held(std::move(take));
  std::vector<ColumnPlan> plan;
  for (const auto& [column, list, element] : columns) plan.push_back(MakePlan(column, list, element));
  return std::make_shared<ColumnWriter>(
      std::move(plan), rows, bytes, [held](size_t n, const std::vector<ColumnData>& data) {
        nb::gil_scoped_acquire acquire;
        try {
          nb::list made;
          for (const ColumnData& d : data)
            made.append(nb::make_tuple(ToBytes(d.values), ToBytes(d.value_offsets), ToBytes(d.row_offsets),
                                       ToBytes(d.valid), d.count));
          (*held)(n, made);
        } catch (const nb::python_error& e) {
          ThrowFromPython(e, "columns");
        }
      });
}

const char* KindName(ColumnPlan::Kind kind) {
  using Kind = ColumnPlan::Kind;
  return kind == Kind::kInt64 ? "int64" : kind == Kind::kUint64 ? "uint64" : kind == Kind::kFloat ? "float" : "bytes";
}

void BindColumns(nb::module_& m) {
  m.def(
      "null_sink", []() -> std::shared_ptr<RecordSink> { return std::make_shared<NullSink>(); },
      "A sink of records whose content an operator has taken.");
  m.def("column_reader", &MakeColumnReader, nb::arg("next_batch"), nb::arg("name"),
        "Typed rows of columns: next_batch() gives (rows, columns) or None; see native/core/records/column_reader.h.");
  nb::class_<ColumnWriter, Operator>(m, "ColumnWriter",
                                     "Examples into columns: take(rows, columns) gets them batch by batch.")
      .def(nb::new_(&MakeColumnWriter), nb::arg("columns"), nb::arg("rows"), nb::arg("bytes"), nb::arg("take"),
           "columns: (CsvColumn, list, element) each.")
      .def(
          "kinds",
          [](const ColumnWriter& self) {
            std::vector<std::string> kinds;
            for (const ColumnPlan& p : self.plan()) kinds.push_back(KindName(p.kind));
            return kinds;
          },
          "Per column int64, uint64, float or bytes.");
}

}  // namespace

void BindEdges(nb::module_& m) {
  m.def(
      "message_reader",
      [](nb::object source, const std::string& name, std::optional<FrameOptions> framed, uint64_t max_record_size) {
        return std::shared_ptr<RecordReader>(std::make_shared<MessageReader>(
            std::make_shared<PythonMessages>(std::move(source), name), framed, max_record_size));
      },
      nb::arg("source"), nb::arg("name"), nb::arg("framed") = nb::none(),
      nb::arg("max_record_size") = uint64_t{1} << 30,
      "Records of a Python object with next_batch() -> list of bytes or None at the end, passed(messages, left), "
      "place(i) -> str and cancel(); see native/core/io/message_reader.h.");
  nb::class_<MessageSink, RecordSink>(m, "MessageSink",
                                      "Makes messages of records and hands them to send(values, keys).")
      .def(nb::new_([](nb::object send, const std::string& type, const std::string& key,
                       std::optional<FrameOptions> framed, size_t max_records, size_t max_bytes) {
             return std::make_shared<MessageSink>(
                 MessageOptions{ParseRecordType(type), key, framed, max_records, max_bytes}, WrapSend(std::move(send)));
           }),
           nb::arg("send"), nb::arg("type") = "instance", nb::arg("key") = "", nb::arg("framed") = nb::none(),
           nb::arg("max_records") = 1, nb::arg("max_bytes") = 1'000'000)
      .def(
          "operator",
          [](std::shared_ptr<MessageSink> self) -> std::shared_ptr<Operator> {
            return std::make_shared<MessageOperator>(std::move(self));
          },
          "What puts the records into it; the last operator of a chain whose sink it is.");
  BindColumns(m);
}

}  // namespace monolith
