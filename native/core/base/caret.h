// Mistakes in a text that somebody typed, shown where they are.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace monolith {

// Throws Error(code): "OPTION: WHAT", then the line of the text, then a caret under the bytes begin … end.
[[noreturn]] void FailUnder(std::string_view option, std::string_view text, size_t begin, size_t end, const std::string& what,
                            ErrorCode code = ErrorCode::kUsage);

}  // namespace monolith
