// Random records, the same for the same options.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/io/record_reader.h"

namespace monolith {

struct GenOptions {
  struct Feature {
    std::string name;
    uint64_t slot = 0;
  };
  struct Dense {
    std::string name;
    size_t size = 1;
  };

  RecordType type = RecordType::kInstance;  // kInstance or kExample
  uint64_t records = 1000;
  uint64_t seed = 1;
  std::vector<uint64_t> slots;       // of v1 fids: flat in an Instance, features fc_slot_<n> in an Example
  std::vector<Feature> v2_features;  // columns of v2 fids
  size_t min_fids = 1, max_fids = 1; // of each slot and feature; slots 1 and 200 always have one
  std::vector<Dense> dense;          // floats in [0, 1)
  size_t labels = 1;                 // 0 or 1 each
  double positive_rate = 0.5;        // share of ones, without `learnable`
  // Every id has a hidden weight, and a label is 1 with the logistic probability of the sum of its row's weights: a
  // model can learn these labels.
  bool learnable = false;
  uint64_t vocab = 100000;  // signatures are 1 … vocab
  double zipf = 0;          // exponent of Zipf's law, signature 1 the most frequent; 0 draws evenly
  std::vector<std::string> line_id;  // fields to fill
  int64_t start_time = 1609459200;   // req_time of the first record, seconds; each record is one second later
};

// Throws Error(kUsage) for options that cannot be right.
std::shared_ptr<RecordReader> MakeGenerator(const GenOptions& options);

}  // namespace monolith
