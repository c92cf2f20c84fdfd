// The Python extension `monolith_cli._native._core`: the core's objects as Python sees them. Each part of the core has
// a bind_*.cc of its own; long calls release the GIL.
#include "python/bind.h"

#include "core/base/error.h"

NB_MODULE(_core, m) {
  nb::set_leak_warnings(false);  // what lives until the end of a command is no leak, and stderr is for people
  m.doc() = "Native core of monolith-cli.";
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const monolith::Error& e) {
      // monolith_cli.errors holds one class per exit code.
      nb::object make = nb::module_::import_("monolith_cli.errors").attr("from_code");
      nb::object error = make(static_cast<int>(e.code()), std::string(e.what()));
      PyErr_SetObject(error.type().ptr(), error.ptr());
    }
  });
  monolith::BindIo(m);
  monolith::BindOperators(m);
  monolith::BindRecords(m);
  monolith::BindFilters(m);
  monolith::BindTables(m);
  monolith::BindTableTools(m);
  monolith::BindTableEdit(m);
  monolith::BindTableColumns(m);
}
