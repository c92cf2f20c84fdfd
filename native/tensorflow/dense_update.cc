#include "tensorflow/dense_update.h"

#include <cstring>
#include <set>

#include "tensorflow/core/framework/resource_mgr.h"

namespace monolith {

namespace tf = tensorflow;
using tf::shape_inference::InferenceContext;
using tf::shape_inference::ShapeHandle;

namespace {

absl::Status NotInitialised(const DenseVariable& v) {
  return absl::FailedPreconditionError(v.role + " ('" + v.name + "') is not initialised: run its initializer before the first step");
}

// Under its lock: what somebody else still reads is left to him, and a copy is written to.
absl::Status Prepare(tf::OpKernelContext* ctx, tf::DataType type, DenseVariable* v) {
  tf::Tensor* tensor = v->var->tensor();
  if (!tensor->IsInitialized()) return NotInitialised(*v);
  if (tensor->dtype() != type)
    return ToStatus(ErrorCode::kUsage, v->role + " ('" + v->name + "') is of " + tf::DataTypeString(tensor->dtype()) + ", but grad of " +
                                           tf::DataTypeString(type));
  if (!v->var->copy_on_read_mode.load() && !tensor->RefCountIsOne()) {
    tf::AllocatorAttributes attributes;
    attributes.set_gpu_compatible(true);
    attributes.set_nic_compatible(true);
    tf::Tensor copy;
    TF_RETURN_IF_ERROR(ctx->allocate_temp(type, tensor->shape(), &copy, attributes));
    std::memcpy(copy.data(), tensor->data(), tensor->TotalBytes());
    *tensor = copy;
  }
  v->tensor = *tensor;
  return absl::OkStatus();
}

}  // namespace

absl::Status DenseVariables::Open(tf::OpKernelContext* ctx, const std::vector<const char*>& roles, tf::DataType type, bool lock) {
  variables_.resize(roles.size());
  for (size_t i = 0; i < roles.size(); ++i) TF_RETURN_IF_ERROR(Find(ctx, static_cast<int>(i), roles[i]));
  if (lock) LockAll();
  for (DenseVariable& v : variables_) {
    if (lock) {
      TF_RETURN_IF_ERROR(Prepare(ctx, type, &v));
    } else {
      tf::mutex_lock held(*v.var->mu());
      TF_RETURN_IF_ERROR(Prepare(ctx, type, &v));
    }
  }
  const DenseVariable& first = variables_[0];
  for (const DenseVariable& v : variables_)
    if (v.tensor.shape() != first.tensor.shape())
      return ToStatus(ErrorCode::kUsage, v.role + " ('" + v.name + "') has the shape " + v.tensor.shape().DebugString() + ", but " +
                                             first.role + " ('" + first.name + "') " + first.tensor.shape().DebugString());
  return absl::OkStatus();
}

absl::Status DenseVariables::Find(tf::OpKernelContext* ctx, int input, const char* role) {
  DenseVariable& v = variables_[static_cast<size_t>(input)];
  const tf::ResourceHandle& handle = tf::HandleFromInput(ctx, input);
  v.role = role;
  v.name = handle.name();
  const absl::Status found = tf::LookupResource(ctx, handle, &v.var);
  return absl::IsNotFound(found) ? NotInitialised(v) : found;
}

// In the order of their addresses, each once, so that two steps cannot wait for each other.
void DenseVariables::LockAll() {
  std::set<tf::Var*> all;
  for (DenseVariable& v : variables_) all.insert(v.var.get());
  for (tf::Var* var : all) locks_.emplace_back(*var->mu());
}

absl::Status ReadGradient(tf::OpKernelContext* ctx, const DenseVariable& variable, const tf::Tensor** grad) {
  TF_RETURN_IF_ERROR(ctx->input("grad", grad));
  if ((*grad)->shape() == variable.tensor.shape()) return absl::OkStatus();
  return ToStatus(ErrorCode::kUsage, "grad has the shape " + (*grad)->shape().DebugString() + ", but " + variable.role + " ('" +
                                         variable.name + "') " + variable.tensor.shape().DebugString());
}

absl::Status CheckDenseUpdateShapes(InferenceContext* c, const std::vector<const char*>& roles, const std::vector<const char*>& numbers) {
  const auto merge = [&](const std::string& what, ShapeHandle shape, ShapeHandle* all) {
    ShapeHandle merged;
    if (!c->Merge(*all, shape, &merged).ok())
      return ToStatus(ErrorCode::kUsage, what + " has the shape " + c->DebugString(shape) + ", but " + roles[0] + " " + c->DebugString(*all));
    *all = merged;
    return absl::OkStatus();
  };
  int input = 0;
  ShapeHandle all = c->UnknownShape();
  for (const char* role : roles) {
    TF_RETURN_IF_ERROR(CheckRanks(c, {{input, role, 0}}));
    const auto* known = c->input_handle_shapes_and_types(input++);
    if (known && !known->empty()) TF_RETURN_IF_ERROR(merge(role, (*known)[0].shape, &all));
  }
  for (const char* number : numbers) TF_RETURN_IF_ERROR(CheckRanks(c, {{input++, number, 0}}));
  return merge("grad", c->input(input), &all);
}

}  // namespace monolith
