// The --where expression: the first byte is the length of a record, then the record, then the expression. Whatever
// compiles must run; what does not must be a usage error with its caret.
#include <cstdlib>

#include "core/base/error.h"
#include "core/operators/where.h"

using namespace monolith;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const size_t n = std::min<size_t>(data[0], size - 1);
  const char* bytes = reinterpret_cast<const char*>(data + 1);
  const std::string record(bytes, n), expression(bytes + n, size - 1 - n);
  for (RecordType type : {RecordType::kInstance, RecordType::kExample}) {
    RecordView view(type, "fuzz");
    std::vector<Where> where;
    try {
      where.emplace_back(expression, size % 2, &view);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kUsage || std::string(e.what()).find("\n  ") == std::string::npos) std::abort();
      return 0;
    }
    try {
      view.Load(record);
      const bool first = where[0].Matches(view);
      if (where[0].Matches(view) != first) std::abort();
    } catch (const BadRecord&) {
    }
  }
  return 0;
}
