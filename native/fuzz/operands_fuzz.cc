// Files of operands: the first byte chooses the type, the rest is the file. Whatever is read must make a
// relation that can be asked, and be read back from FilterValues as the same; all else is a usage error.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "core/operators/operands.h"
#include "core/wire/schema.h"
#include "core/wire/wire.h"

using namespace monolith;

namespace {

// A file in memory that is written anew for each input.
class Scratch {
 public:
  Scratch() : fd_(memfd_create("operands", 0)), path_("/proc/self/fd/" + std::to_string(fd_)) {
    if (fd_ < 0) std::abort();
  }
  const std::string& Holding(std::string_view bytes) {
    if (ftruncate(fd_, 0) != 0) std::abort();
    if (pwrite(fd_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
    return path_;
  }

 private:
  const int fd_;
  const std::string path_;
};

std::string AsFilterValues(const Operands& o) {
  std::string list, out;
  wire::Writer inner(&list), outer(&out);
  for (const std::string& s : o.strings) inner.Bytes(schema::kListValue, s);
  for (int64_t v : o.ints) inner.Varint(schema::kListValue, static_cast<uint64_t>(v));
  for (uint64_t v : o.uints) inner.Varint(schema::kListValue, v);
  inner.Packed(schema::kListValue, o.floats.data(), o.floats.size());
  const bool floats = o.type == OperandType::kFloat || o.type == OperandType::kDouble;
  outer.Bytes(floats ? 1 : o.type == OperandType::kString ? 3 : 2, list);
  return out;
}

bool SameFloats(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

void Ask(const Operands& o) {
  const bool list = o.type == OperandType::kIntList;
  const Relation relation = MakeRelation(list ? RelOp::kAny : RelOp::kIn, o);
  if (!o.strings.empty() && !relation.String(o.strings.back())) std::abort();
  if (!o.uints.empty() && !relation.Uint(o.uints.back())) std::abort();
  if (!o.ints.empty() && !(list ? relation.List({o.ints.back()}) : relation.Int(o.ints.back()))) std::abort();
  if (!o.floats.empty() && o.floats.back() == o.floats.back() && !relation.Float(o.floats.back())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Scratch scratch;
  if (size < 1) return 0;
  const auto type = static_cast<OperandType>(data[0] % 6);
  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  Operands operands;
  try {
    operands = ReadOperandFile(type, scratch.Holding(bytes));
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kUsage) std::abort();
    return 0;
  }
  if (operands.type != type) std::abort();
  Ask(operands);
  const Operands again = ReadOperandFile(type, scratch.Holding(AsFilterValues(operands)));
  if (again.ints != operands.ints || again.uints != operands.uints || again.strings != operands.strings) std::abort();
  if (!SameFloats(again.floats, operands.floats)) std::abort();
  return 0;
}
