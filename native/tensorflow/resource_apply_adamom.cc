// A step of Adamom on one variable and its slots, in one op (spec 50, section 11.1).
#include "core/dense/adamom.h"
#include "tensorflow/dense_update_op.h"

namespace monolith {
namespace {

namespace tf = tensorflow;

struct Adamom {
  using Options = dense::AdamomOptions;
  static constexpr size_t kVariables = 4;

  static const std::vector<const char*>& Roles() {
    static const std::vector<const char*> roles = {"var", "m", "v", "c"};
    return roles;
  }
  static const std::vector<std::pair<const char*, double Options::*>>& Numbers() {
    static const std::vector<std::pair<const char*, double Options::*>> numbers = {
        {"learning_rate", &Options::learning_rate}, {"ada_decay", &Options::ada_decay},
        {"mom_decay", &Options::mom_decay}, {"epsilon", &Options::epsilon}, {"weight_decay", &Options::weight_decay}};
    return numbers;
  }
  template <class T>
  static void Step(const Options& options, const T* grad, const std::array<T*, kVariables>& v, size_t n) {
    dense::StepAdamom(options, grad, v[0], v[1], v[2], v[3], n);
  }
};

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
    .SetShapeFn(DenseUpdateShapes<Adamom>)
    .Doc("g = grad + weight_decay * var; m = mom_decay * m + (1 - mom_decay) * g; v = ada_decay * v + g^2; c = ada_decay * c + 1; "
         "var -= learning_rate * m / sqrt(v / c + epsilon), with use_v2 learning_rate * m / (sqrt(v / c) + epsilon). With update_slots false "
         "the step is taken and the slots stay. use_locking locks all four variables for the step.");

REGISTER_KERNEL_BUILDER(Name("MonolithResourceApplyAdamom").Device(tf::DEVICE_CPU).TypeConstraint<float>("T"), DenseUpdateOp<Adamom, float>);
REGISTER_KERNEL_BUILDER(Name("MonolithResourceApplyAdamom").Device(tf::DEVICE_CPU).TypeConstraint<double>("T"), DenseUpdateOp<Adamom, double>);

}  // namespace
}  // namespace monolith
