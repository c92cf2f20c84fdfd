#include "python/bind.h"

namespace monolith {

void BindTables(nb::module_& m) {}

}  // namespace monolith
