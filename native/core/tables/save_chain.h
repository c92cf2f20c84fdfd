// The checkpoints that the next delta of a set of tables continues.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace monolith {

struct SaveChain {
  std::mutex mutex;  // held through a save: the next one continues it
  std::vector<std::pair<std::string, uint32_t>> links;  // basename, checksum of its manifest; the base first
};

}  // namespace monolith
