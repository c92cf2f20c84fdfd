#pragma once

#include "core/records/example_view.h"

namespace monolith {

// Puts an Instance together from features of an Example or ExampleBatch. One object serves one thread.
class InstanceBuilder {
 public:
  void Clear() {
    fids_.clear();
    columns_.clear();
  }

  // v1 fids join the flat list; everything else becomes a column of that name, an unset feature nothing.
  void Add(std::string_view name, std::string_view feature, Scratch* scratch);

  // Appends the Instance.
  void Finish(const RowFields& row, uint32_t data_source_key, std::string* out) const;

 private:
  std::string fids_;     // packed
  std::string columns_;  // whole fields of the Instance
};

}  // namespace monolith
