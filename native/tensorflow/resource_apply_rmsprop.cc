// A step of Rmsprop on one variable and its slots, in one op (spec 50, section 11.2).
#include "core/dense/rmsprop.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/dense_update.h"

namespace monolith {
namespace {

namespace tf = tensorflow;

const std::vector<const char*>& Roles() {
  static const std::vector<const char*> roles = {"var", "m", "v"};
  return roles;
}

REGISTER_OP("MonolithResourceApplyRmsprop")
    .Input("var: resource")
    .Input("m: resource")
    .Input("v: resource")
    .Input("learning_rate: double")
    .Input("beta1: double")
    .Input("beta2: double")
    .Input("epsilon: double")
    .Input("weight_decay: double")
    .Input("grad: T")
    .Attr("T: {float, double}")
    .Attr("use_locking: bool = false")
    .Attr("update_slots: bool = true")
    .Attr("use_v2: bool = false")
    .SetIsStateful()
    .SetShapeFn([](tf::shape_inference::InferenceContext* c) {
      return CheckDenseUpdateShapes(c, Roles(), {"learning_rate", "beta1", "beta2", "epsilon", "weight_decay"});
    })
    .Doc("g = grad + weight_decay * var; v += (g^2 - v) * (1 - beta2); m = beta1 * m + learning_rate * g / sqrt(v + epsilon); var -= m. With "
         "use_v2 v = beta2 * v + g^2; m = beta1 * m + learning_rate * g / (sqrt(v) + epsilon). With update_slots false the step is taken and "
         "the slots stay. use_locking locks all three variables for the step.");

template <class T>
class ResourceApplyRmspropOp : public tf::OpKernel {
 public:
  explicit ResourceApplyRmspropOp(tf::OpKernelConstruction* ctx) : OpKernel(ctx) {
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
    dense::RmspropOptions options = options_;
    options.learning_rate = ScalarInput<double>(ctx, "learning_rate");
    options.beta1 = ScalarInput<double>(ctx, "beta1");
    options.beta2 = ScalarInput<double>(ctx, "beta2");
    options.epsilon = ScalarInput<double>(ctx, "epsilon");
    options.weight_decay = ScalarInput<double>(ctx, "weight_decay");
    DenseVariables variables;
    TF_RETURN_IF_ERROR(variables.Open(ctx, Roles(), tf::DataTypeToEnum<T>::value, use_locking_));
    const tf::Tensor* grad = nullptr;
    TF_RETURN_IF_ERROR(ReadGradient(ctx, variables[0], &grad));
    const T* g = grad->flat<T>().data();
    T *var = variables.data<T>(0), *m = variables.data<T>(1), *v = variables.data<T>(2);
    ForEachPart(ctx, grad->NumElements(), [&](int64_t begin, int64_t end) {
      dense::StepRmsprop(options, g + begin, var + begin, m + begin, v + begin, static_cast<size_t>(end - begin));
    });
    return absl::OkStatus();
  }

  bool use_locking_ = false;
  dense::RmspropOptions options_;
};

REGISTER_KERNEL_BUILDER(Name("MonolithResourceApplyRmsprop").Device(tf::DEVICE_CPU).TypeConstraint<float>("T"), ResourceApplyRmspropOp<float>);
REGISTER_KERNEL_BUILDER(Name("MonolithResourceApplyRmsprop").Device(tf::DEVICE_CPU).TypeConstraint<double>("T"),
                        ResourceApplyRmspropOp<double>);

}  // namespace
}  // namespace monolith
