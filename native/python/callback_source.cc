#include "python/callback_source.h"

#include "core/base/error.h"
#include "core/base/stop.h"

namespace monolith {
namespace {

class CallbackSource : public ByteSource {
 public:
  CallbackSource(nb::object file, const std::string& name)
      : ByteSource(name), file_(file), readinto_(file.attr("readinto")) {}

  ~CallbackSource() override {
    if (nb::is_alive()) {
      nb::gil_scoped_acquire acquire;
      readinto_.reset();
      file_.reset();
    } else {
      readinto_.release();
      file_.release();
    }
  }

  size_t Read(char* to, size_t n) override {
    nb::gil_scoped_acquire acquire;
    try {
      nb::object view =
          nb::steal(PyMemoryView_FromMemory(to, static_cast<Py_ssize_t>(n), PyBUF_WRITE));
      nb::object got = readinto_(view);
      view.attr("release")();
      const size_t size = got.is_none() ? 0 : nb::cast<size_t>(got);
      if (size > n) throw Error(ErrorCode::kInternal, name() + ": readinto returned more than it was asked for");
      return size;
    } catch (const nb::python_error& e) {
      ThrowFromPython(e, name());
    }
  }

  void Cancel() override {
    nb::gil_scoped_acquire acquire;
    try {
      if (nb::hasattr(file_, "cancel")) file_.attr("cancel")();
    } catch (const nb::python_error&) {  // it only wakes a reader; there is nobody to tell
    }
  }

 private:
  nb::object file_, readinto_;
};

}  // namespace

PyObject* InterruptedType() {
  static PyObject* type = PyErr_NewException("monolith_cli._native._core.Interrupted", PyExc_BaseException, nullptr);
  return type;
}

void ThrowFromPython(const nb::python_error& e, const std::string& name) {
  if (e.matches(InterruptedType()) || e.matches(PyExc_KeyboardInterrupt)) throw Interrupted();
  nb::object value = nb::borrow(e.value());
  const std::string text = nb::cast<std::string>(nb::str(value));
  if (nb::hasattr(value, "exit_code")) throw Error(static_cast<ErrorCode>(nb::cast<int>(value.attr("exit_code"))), text);
  if (e.matches(PyExc_OSError)) throw Error(ErrorCode::kIo, name + ": cannot read: " + text);
  throw Error(ErrorCode::kInternal, name + ": " + nb::cast<std::string>(nb::str(e.type().attr("__name__"))) + ": " + text);
}

std::shared_ptr<ByteSource> MakeCallbackSource(nb::object file, const std::string& name) {
  return std::make_shared<CallbackSource>(std::move(file), name);
}

}  // namespace monolith
