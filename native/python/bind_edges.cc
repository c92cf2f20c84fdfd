// Sources and sinks at the edges: messages of a queue, whose client is a Python library.
#include <mutex>

#include "core/base/error.h"
#include "core/base/stop.h"
#include "core/io/message_reader.h"
#include "core/operators/message_sink.h"
#include "python/callback_source.h"

namespace monolith {
namespace {

nb::bytes ToBytes(std::string_view s) { return nb::bytes(s.data(), s.size()); }

// A Python object that may be dropped on any thread.
std::shared_ptr<nb::object> Held(nb::object object) {
  return {new nb::object(std::move(object)), [](nb::object* o) {
            if (nb::is_alive()) {
              nb::gil_scoped_acquire acquire;
              delete o;
            } else {
              (void)o->release();
              delete o;
            }
          }};
}

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

}  // namespace

void BindEdges(nb::module_& m) {
  m.def(
      "message_reader",
      [](nb::object source, const std::string& name, std::optional<FrameOptions> framed, uint64_t max_record_size) {
        return std::shared_ptr<RecordReader>(std::make_shared<MessageReader>(
            std::make_shared<PythonMessages>(std::move(source), name), framed, max_record_size));
      },
      nb::arg("source"), nb::arg("name"), nb::arg("framed") = nb::none(), nb::arg("max_record_size") = uint64_t{1} << 30,
      "Records of a Python object with next_batch() -> list of bytes or None at the end, passed(messages, left), "
      "place(i) -> str and cancel(); see native/core/io/message_reader.h.");
  nb::class_<MessageSink, RecordSink>(m, "MessageSink", "Makes messages of records and hands them to send(values, keys).")
      .def(nb::new_([](nb::object send, const std::string& type, const std::string& key, std::optional<FrameOptions> framed,
                       size_t max_records, size_t max_bytes) {
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
}

}  // namespace monolith
