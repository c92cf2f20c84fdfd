// A batch of records as the element of a dataset: a scalar variant that shares the memory of the batch.
#pragma once

#include <memory>
#include <string>

#include "core/io/record_stream.h"

namespace tensorflow {
class VariantTensorData;
}

namespace monolith {

struct RecordBatchVariant {
  std::shared_ptr<const RecordBatch> batch;

  static const char kTypeName[];
  std::string TypeName() const { return kTypeName; }
  std::string DebugString() const;
  // Byte form, for a dataset whose elements cross processes or are cached on disk.
  void Encode(tensorflow::VariantTensorData* data) const;
  bool Decode(const tensorflow::VariantTensorData& data);
};

}  // namespace monolith
