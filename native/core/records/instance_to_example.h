#pragma once

#include <vector>

#include "core/records/pieces.h"

namespace monolith {

// Makes an Example of an Instance, on wire bytes. One object serves one thread; memory is reused.
class InstanceToExample {
 public:
  // Appends the Example to `out`. Throws BadRecord, having appended nothing that counts.
  void Convert(std::string_view instance, std::string* out);

 private:
  struct Group {
    uint32_t slot, count = 0, at = 0;
  };

  void Read(std::string_view instance);
  void WriteSlots(uint64_t* id, std::string* out);
  void WriteColumn(std::string_view column, uint64_t id, std::string* out);

  Scratch scratch_;
  Merged fids_, value_, label_, line_id_;
  float weight_ = 1;
  std::vector<std::string_view> columns_;
  std::vector<Group> groups_;       // in order of first appearance
  std::vector<uint32_t> group_of_;  // by slot: 1 + index into groups_
  std::vector<uint64_t> sorted_;
};

}  // namespace monolith
