// What an optimizer is made of: its names and numbers in configs and checkpoints, its state in a row, its step.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/tables/optimizer.h"
#include "core/tables/table_config.h"

namespace monolith {

// A run of optimizer state in a row, and the field of the optimizer's dump (spec 30, 1.6) that holds it.
struct StateField {
  enum Shape { kEachDim, kFloat, kInt64 };  // an int64 takes the place of two floats

  uint32_t number;  // in the dump; 0: there is no such field
  Shape shape;
  int dims_before, floats_before;             // where the run begins: so many times the dim, and so many floats
  float OptimizerConfig::*initial = nullptr;  // what its floats start from; 0 when there is none

  int Floats(int dim) const { return shape == kEachDim ? dim : shape == kFloat ? 1 : 2; }
  int Offset(int dim) const { return dims_before * dim + floats_before; }
  // How many values the dump has.
  int Values(int dim) const { return shape == kEachDim ? dim : 1; }
};

struct OptimizerType {
  static constexpr size_t kMaxFields = 5;
  const char* name;
  uint32_t config_number;  // in OptimizerConfig
  uint32_t dump_number;    // in SingleOptimizerDump; 0: the optimizer leaves no element there
  struct ConfigField {
    uint32_t number;  // 0: there is no such field
    float OptimizerConfig::*value;
  } config[kMaxFields];
  uint32_t nesterov_number;  // of use_nesterov; 0: has none
  StateField state[kMaxFields];  // in the order of the dump's fields, which need not be that of the row
  StepFunction (*step)(int dim);

  int StateSize(int dim) const {
    int n = 0;
    for (const StateField& f : state)
      if (f.number) n += f.Floats(dim);
    return n;
  }
};

// Step<dim> for the common dims, so that their loops have a fixed length; Step<0> for all others. Static, and the steps have
// names of their own: gcc merges what is made from templates of equal names in the unnamed namespaces of several files.
template <template <int> class Step>
static StepFunction StepByDim(int dim) {
  switch (dim) {
    case 8: return Step<8>::Run;
    case 16: return Step<16>::Run;
    case 32: return Step<32>::Run;
    case 64: return Step<64>::Run;
  }
  return Step<0>::Run;
}

extern const OptimizerType kSgdType, kAdagradType, kFtrlType, kAdadeltaType, kAdamType, kAmsgradType, kMomentumType,
    kMovingAverageType, kRmspropType, kRmspropV2Type, kBatchSoftmaxType, kGroupAdagradType;

const OptimizerType& TypeOf(OptimizerConfig::Kind kind);
// The kind of a field of OptimizerConfig; false when there is no such optimizer here.
bool KindOfConfig(uint32_t config_number, OptimizerConfig::Kind* kind);
// The name of a field of SingleOptimizerDump, for messages.
const char* DumpName(uint32_t dump_number);

}  // namespace monolith
