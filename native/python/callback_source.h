#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/io/record_reader.h"
#include "python/bind.h"

namespace monolith {

// Bytes of a Python object with `readinto(buffer) -> int`, read from any thread.
std::shared_ptr<ByteSource> MakeCallbackSource(nb::object file, const std::string& name);

// A Python object that may be copied and dropped on any thread.
inline std::shared_ptr<nb::object> Held(nb::object object) {
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

// The Python exception that stands for Interrupted.
PyObject* InterruptedType();

// The error of the core that says what a Python exception says; throws it. Needs the GIL.
[[noreturn]] void ThrowFromPython(const nb::python_error& e, const std::string& name);

// A view of a Python object's memory, released with it. Needs the GIL.
class PyBuffer {
 public:
  PyBuffer(PyObject* object, int flags) {
    if (PyObject_GetBuffer(object, &view_, flags) != 0) throw nb::python_error();
  }
  ~PyBuffer() { PyBuffer_Release(&view_); }
  PyBuffer(const PyBuffer&) = delete;
  PyBuffer& operator=(const PyBuffer&) = delete;
  char* data() const { return static_cast<char*>(view_.buf); }
  size_t size() const { return static_cast<size_t>(view_.len); }

 private:
  Py_buffer view_;
};

void BindStream(nb::module_& m);  // bind_stream.cc

}  // namespace monolith
