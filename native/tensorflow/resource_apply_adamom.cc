// A step of Adamom on one variable and its slots, in one op (spec 50, section 11.1).
#include "core/dense/adamom.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/dense_update.h"

namespace monolith {
namespace {

namespace tf = tensorflow;

const std::vector<const char*>& Roles() {
  static const std::vector<const char*> roles = {"var", "m", "v", "c"};
  return roles;
}

REGISTER_OP("MonolithResourceApplyAdamom")
    .Input("var: resource")
    .Input("m: resource")
    .Input("v: resource")
    .Input("c: resource")
    .Input("learning_rate: double")
    .Input("ada_decay: double")
    .Input("mom_decay: double")
    .Input("epsilon: double")
    .Input("weight_decay: double")
    .Input("grad: T")
    .Attr("T: {float, double}")
    .Attr("use_locking: bool = false")
    .Attr("update_slots: bool = true")
    .Attr("use_v2: bool = false")
    .SetIsStateful()
    .SetShapeFn([](tf::shape_inference::InferenceContext* c) {
      return CheckDenseUpdateShapes(c, Roles(), {"learning_rate", "ada_decay", "mom_decay", "epsilon", "weight_decay"});
    })
    .Doc("g = grad + weight_decay * var; m = mom_decay * m + (1 - mom_decay) * g; v = ada_decay * v + g^2; c = ada_decay * c + 1; "
         "var -= learning_rate * m / sqrt(v / c + epsilon), with use_v2 learning_rate * m / (sqrt(v / c) + epsilon). With update_slots false "
         "the step is taken and the slots stay. use_locking locks all four variables for the step.");

template <class T>
class ResourceApplyAdamomOp : public tf::OpKernel {
 public:
  explicit ResourceApplyAdamomOp(tf::OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("use_locking", &use_locking_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("update_slots", &options_.update_slots));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("use_v2", &options_.use_v2));
  }

  void Compute(tf::OpKernelContext* ctx) override {
    absl::Status inner;
    OP_REQUIRES_OK(ctx, Guard([&] { inner = Run(ctx); }));
    OP_REQUIRES_OK(ctx, inner);
  }

 private:
  absl::Status Run(tf::OpKernelContext* ctx) const {
    dense::AdamomOptions options = options_;
    options.learning_rate = ScalarInput<double>(ctx, "learning_rate");
    options.ada_decay = ScalarInput<double>(ctx, "ada_decay");
    options.mom_decay = ScalarInput<double>(ctx, "mom_decay");
    options.epsilon = ScalarInput<double>(ctx, "epsilon");
    options.weight_decay = ScalarInput<double>(ctx, "weight_decay");
    DenseVariables variables;
    TF_RETURN_IF_ERROR(variables.Open(ctx, Roles(), tf::DataTypeToEnum<T>::value, use_locking_));
    const tf::Tensor* grad = nullptr;
    TF_RETURN_IF_ERROR(ReadGradient(ctx, variables[0], &grad));
    const T* g = grad->flat<T>().data();
    T *var = variables.data<T>(0), *m = variables.data<T>(1), *v = variables.data<T>(2), *c = variables.data<T>(3);
    ForEachPart(ctx, grad->NumElements(), [&](int64_t begin, int64_t end) {
      dense::StepAdamom(options, g + begin, var + begin, m + begin, v + begin, c + begin, static_cast<size_t>(end - begin));
    });
    return absl::OkStatus();
  }

  bool use_locking_ = false;
  dense::AdamomOptions options_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithResourceApplyAdamom").Device(tf::DEVICE_CPU).TypeConstraint<float>("T"), ResourceApplyAdamomOp<float>);
REGISTER_KERNEL_BUILDER(Name("MonolithResourceApplyAdamom").Device(tf::DEVICE_CPU).TypeConstraint<double>("T"), ResourceApplyAdamomOp<double>);

}  // namespace
}  // namespace monolith
