#include "python/bind.h"

namespace monolith {

void BindIo(nb::module_& m) {}

}  // namespace monolith
