// Occurrence filters and sets of touched keys as TensorFlow resources.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/tables/filters/occurrence_gate.h"
#include "core/tables/touched_keys.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/op_util.h"

namespace monolith {

class FilterResource : public tensorflow::ResourceBase {
 public:
  explicit FilterResource(std::shared_ptr<const OccurrenceGate> gate) : gate_(std::move(gate)) {}
  const std::shared_ptr<const OccurrenceGate>& gate() const { return gate_; }
  std::string DebugString() const override {
    return "occurrence filter of " + std::to_string(gate_->filter().split_num()) + " splits";
  }

 private:
  const std::shared_ptr<const OccurrenceGate> gate_;
};

class TouchedResource : public tensorflow::ResourceBase {
 public:
  explicit TouchedResource(std::shared_ptr<TouchedKeySet> keys) : keys_(std::move(keys)) {}
  const std::shared_ptr<TouchedKeySet>& keys() const { return keys_; }
  std::string DebugString() const override { return "set of " + std::to_string(keys_->size()) + " touched keys"; }

 private:
  const std::shared_ptr<TouchedKeySet> keys_;
};

}  // namespace monolith
