// What the layout ops share: the plan of an op being built or of a kernel.
#pragma once

#include <memory>
#include <string>

#include "core/layouts/layout_plan.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/op_util.h"

namespace monolith {

// Attributes come from an op that is being built (shapes) or from a kernel: both have GetAttr.
template <class Context>
absl::Status ReadLayoutPlan(Context* ctx, layouts::LayoutPlan* plan) {
  std::string configs;
  TF_RETURN_IF_ERROR(ctx->GetAttr("feature_cfgs", &configs));
  return Guard([&] { *plan = layouts::DecodeLayoutPlan(configs); });
}

}  // namespace monolith
