// A step of Rmsprop on one variable and its slots, in one op (spec 50, section 11.2).
#include "core/dense/rmsprop.h"
#include "tensorflow/dense_update_op.h"

namespace monolith {
namespace {

namespace tf = tensorflow;

struct Rmsprop {
  using Options = dense::RmspropOptions;
  static constexpr size_t kVariables = 3;

  static const std::vector<const char*>& Roles() {
    static const std::vector<const char*> roles = {"var", "m", "v"};
    return roles;
  }
  static const std::vector<std::pair<const char*, double Options::*>>& Numbers() {
    static const std::vector<std::pair<const char*, double Options::*>> numbers = {
        {"learning_rate", &Options::learning_rate}, {"beta1", &Options::beta1}, {"beta2", &Options::beta2},
        {"epsilon", &Options::epsilon}, {"weight_decay", &Options::weight_decay}};
    return numbers;
  }
  template <class T>
  static void Step(const Options& options, const T* grad, const std::array<T*, kVariables>& v, size_t n) {
    dense::StepRmsprop(options, grad, v[0], v[1], v[2], n);
  }
};

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
    .SetShapeFn(DenseUpdateShapes<Rmsprop>)
    .Doc("g = grad + weight_decay * var; v += (g^2 - v) * (1 - beta2); m = beta1 * m + learning_rate * g / sqrt(v + epsilon); var -= m. With "
         "use_v2 v = beta2 * v + g^2; m = beta1 * m + learning_rate * g / (sqrt(v) + epsilon). With update_slots false the step is taken and "
         "the slots stay. use_locking locks all three variables for the step.");

REGISTER_KERNEL_BUILDER(Name("MonolithResourceApplyRmsprop").Device(tf::DEVICE_CPU).TypeConstraint<float>("T"), DenseUpdateOp<Rmsprop, float>);
REGISTER_KERNEL_BUILDER(Name("MonolithResourceApplyRmsprop").Device(tf::DEVICE_CPU).TypeConstraint<double>("T"), DenseUpdateOp<Rmsprop, double>);

}  // namespace
}  // namespace monolith
