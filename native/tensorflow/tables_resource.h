// The tables of the core as a TensorFlow resource, and what the kernels on it share.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "core/tables/table.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/op_util.h"

namespace monolith {

class TablesResource : public tensorflow::ResourceBase {
 public:
  explicit TablesResource(std::shared_ptr<MultiTable> tables) : tables_(std::move(tables)) {}
  MultiTable* tables() const { return tables_.get(); }
  std::string DebugString() const override {
    return "MonolithTables of " + std::to_string(tables_->num_tables()) + " tables";
  }

 private:
  const std::shared_ptr<MultiTable> tables_;
};

// A kernel whose first input is the handle of tables; errors of the core become its status.
class TablesKernel : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* ctx) override {
    tensorflow::core::RefCountPtr<TablesResource> resource;
    OP_REQUIRES_OK(ctx, tensorflow::LookupResource(ctx, tensorflow::HandleFromInput(ctx, 0), &resource));
    absl::Status inner;
    OP_REQUIRES_OK(ctx, Guard([&] { inner = Run(ctx, resource->tables()); }));
    OP_REQUIRES_OK(ctx, inner);
  }

 protected:
  virtual absl::Status Run(tensorflow::OpKernelContext* ctx, MultiTable* tables) = 0;
};

inline int TableIndex(const MultiTable& tables, const std::string& name) {
  const int index = tables.IndexOf(name);
  if (index < 0) throw Error(ErrorCode::kConfig, "there is no table '" + name + "'");
  return index;
}

// The time of an update in seconds: the largest request time of the batch, 0 without one.
inline uint32_t UpdateTime(const tensorflow::Tensor& req_time) {
  int64_t latest = 0;
  const auto times = req_time.flat<int64_t>();
  for (int64_t i = 0; i < times.size(); ++i) latest = std::max<int64_t>(latest, times(i));
  return static_cast<uint32_t>(std::min<int64_t>(latest, UINT32_MAX));
}

}  // namespace monolith
