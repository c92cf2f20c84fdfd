// Independent pieces of work on the cores there are.
#pragma once

#include <cstddef>
#include <functional>

namespace monolith {

size_t Cores();

// Runs body(0..n-1), as many at a time as there are cores. Throws the first error by number when all have ended; after an
// error no further piece is begun.
void InParallel(size_t n, const std::function<void(size_t)>& body);

}  // namespace monolith
