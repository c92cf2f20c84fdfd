#include "python/bind.h"

namespace monolith {

void BindRecords(nb::module_& m) {}

}  // namespace monolith
