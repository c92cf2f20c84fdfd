// Operands of conditions as a user gives them: words of a command line, or a file (spec 20, section 2.4).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/operators/relation.h"

namespace monolith {

enum class OperandType : uint8_t { kInt, kUint, kFloat, kDouble, kString, kIntList };

struct Operands {
  OperandType type = OperandType::kInt;
  std::vector<int64_t> ints;         // of kInt and kIntList
  std::vector<uint64_t> uints;       // of kUint; a negative number stands for its two's complement
  std::vector<float> floats;         // of kFloat and kDouble
  std::vector<std::string> strings;  // of kString

  // Takes one integer (decimal or 0x…), float or string. Throws Error(kUsage) for what is none or does not fit.
  void Add(std::string_view word);
};

// Numbers may stand several to a word, between commas or blanks; a string is its whole word. Throws Error(kUsage).
Operands ParseOperands(OperandType type, const std::vector<std::string>& words);

// A serialized monolith.io.proto.FilterValues, or text with one value a line (empty lines are passed over). Throws
// Error(kNoInput) when it cannot be read, Error(kUsage) for what is neither, is empty, or has values of another type.
Operands ReadOperandFile(OperandType type, const std::string& path);

// Throws Error(kUsage), as Relation.
Relation MakeRelation(RelOp op, Operands operands);

}  // namespace monolith
