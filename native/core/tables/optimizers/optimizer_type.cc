#include "core/tables/optimizers/optimizer_type.h"

namespace monolith {
namespace {

using Kind = OptimizerConfig::Kind;

struct Entry {
  Kind kind;
  const OptimizerType* type;
};
constexpr Entry kTypes[] = {{Kind::kSgd, &kSgdType},
                            {Kind::kAdagrad, &kAdagradType},
                            {Kind::kFtrl, &kFtrlType},
                            {Kind::kAdadelta, &kAdadeltaType},
                            {Kind::kAdam, &kAdamType},
                            {Kind::kAmsgrad, &kAmsgradType},
                            {Kind::kMomentum, &kMomentumType},
                            {Kind::kMovingAverage, &kMovingAverageType},
                            {Kind::kRmsprop, &kRmspropType},
                            {Kind::kRmspropV2, &kRmspropV2Type},
                            {Kind::kBatchSoftmax, &kBatchSoftmaxType},
                            {Kind::kGroupAdagrad, &kGroupAdagradType}};

}  // namespace

const OptimizerType& TypeOf(Kind kind) {
  for (const Entry& e : kTypes)
    if (e.kind == kind) return *e.type;
  return kSgdType;
}

bool KindOfConfig(uint32_t config_number, Kind* kind) {
  for (const Entry& e : kTypes)
    if (e.type->config_number == config_number) return *kind = e.kind, true;
  return false;
}

const char* DumpName(uint32_t dump_number) {
  if (dump_number == 4) return "dynamic_wd_adagrad";
  if (dump_number == 13) return "group_ftrl";
  for (const Entry& e : kTypes)
    if (e.type->dump_number && e.type->dump_number == dump_number) return e.type->name;
  return "an unknown optimizer";
}

}  // namespace monolith
