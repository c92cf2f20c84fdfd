// The --where expression: the first byte is the length of a record, then the record, then the expression. Whatever
// compiles must run; what does not must be a usage error (or that of a file) with its caret.
#include <stdlib.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "core/base/error.h"
#include "core/operators/where.h"

using namespace monolith;

namespace {

// Expressions name files: they get a folder with one of each kind, and no way out of it.
bool EnterSandbox() {
  char folder[] = "/tmp/where_fuzz.XXXXXX";
  if (!mkdtemp(folder) || chdir(folder) != 0) std::abort();
  std::ofstream("i") << "1\n2\n";
  std::ofstream("s") << std::string("\x1a\x03\x0a\x01x", 5);
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  [[maybe_unused]] static const bool entered = EnterSandbox();
  if (size < 1) return 0;
  const size_t n = std::min<size_t>(data[0], size - 1);
  const char* bytes = reinterpret_cast<const char*>(data + 1);
  const std::string record(bytes, n), expression(bytes + n, size - 1 - n);
  const bool names_file = expression.find('@') != std::string::npos;
  if (names_file && expression.find_first_of("/\\") != std::string::npos) return 0;
  for (RecordType type : {RecordType::kInstance, RecordType::kExample}) {
    RecordView view(type, "fuzz");
    std::vector<Where> where;
    try {
      where.emplace_back(expression, size % 2, &view);
    } catch (const Error& e) {
      const bool expected = e.code() == ErrorCode::kUsage || (names_file && e.code() == ErrorCode::kNoInput);
      if (!expected || std::string(e.what()).find("\n  ") == std::string::npos) std::abort();
      continue;
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
