// A table in one line of JSON, as logs of the original system have it (spec 30, 2.6).
#pragma once

#include <string>

#include "core/tables/table.h"

namespace monolith {

// Memory counts the bytes of a row and 8 for its key, nothing of the index. The load factor is that of buckets of four keys, the
// least power of two of them that holds the rows and the initial capacity: our index has no such buckets.
std::string Summary(const EmbeddingTable& table);

}  // namespace monolith
