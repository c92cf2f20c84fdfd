#include "python/bind.h"

namespace monolith {

void BindOperators(nb::module_& m) {}

}  // namespace monolith
