#include "core/tables/compressors/compressor_type.h"

namespace monolith {
namespace {

using Kind = CompressorConfig::Kind;

struct Entry {
  Kind kind;
  const CompressorType* type;
};
constexpr Entry kTypes[] = {
    {Kind::kFp32, &kFp32Type}, {Kind::kFp16, &kFp16Type}, {Kind::kFixedR8, &kFixedR8Type}, {Kind::kOneBit, &kOneBitType}};

}  // namespace

const CompressorType& TypeOf(Kind kind) {
  for (const Entry& e : kTypes)
    if (e.kind == kind) return *e.type;
  return kFp32Type;
}

bool KindOfConfig(uint32_t config_number, Kind* kind) {
  for (const Entry& e : kTypes)
    if (e.type->config_number == config_number) return *kind = e.kind, true;
  return false;
}

}  // namespace monolith
