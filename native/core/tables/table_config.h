// What a table is made of. Plain structs; the protobuf form of the spec is decoded into them (table_config.cc).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace monolith {

struct OptimizerConfig {
  enum class Kind {
    kSgd, kAdagrad, kFtrl, kAdadelta, kAdam, kAmsgrad, kMomentum, kMovingAverage, kRmsprop, kRmspropV2, kBatchSoftmax,
    kGroupAdagrad
  };
  Kind kind = Kind::kAdagrad;
  float initial_accumulator_value = 0.1f;  // adagrad, ftrl, group_adagrad
  float weight_decay_factor = 0;           // all but sgd, ftrl, moving_average and batch_softmax
  float beta = 0, l1 = 0, l2 = 0;          // ftrl; beta and l2: group_adagrad
  float beta1 = 0.9f, beta2 = 0.99f;       // adam, amsgrad
  float epsilon = 0.01f;                   // adam, amsgrad, adadelta
  float momentum = 0.9f;                   // momentum, moving_average, rmsprop, rmspropv2
  float averaging_ratio = 0.9f;            // adadelta
  bool use_nesterov = false;               // adam, amsgrad, momentum
  bool stochastic_rounding_float16 = false;  // each step leaves weights that float16 can hold (any optimizer)
};

struct InitializerConfig {
  enum class Kind { kConstant, kRandomUniform };  // zeros and ones are constants
  Kind kind = Kind::kRandomUniform;
  float constant = 0;
  float minval = -0.05f, maxval = 0.05f;
};

// How a serving table stores weights, and what a training table gives for them (compressors/).
struct CompressorConfig {
  enum class Kind { kFp32, kFp16, kFixedR8, kOneBit };
  Kind kind = Kind::kFp32;
  float r = 1;                // fixed_r8: weights lie in [-r, r)
  int64_t step_size = 200;    // one_bit: the scale grows every so many steps
  float init_scale = 1, max_scale = 10000, amplitude = 0.1f;  // one_bit
};

// A contiguous part of an embedding with its own initializer, optimizer, compressor and learning rate.
struct SegmentConfig {
  int dim = 0;
  InitializerConfig initializer;
  OptimizerConfig optimizer;
  CompressorConfig compressor;
};

struct TableConfig {
  std::string name;
  std::vector<SegmentConfig> segments;
  // Rows as serving reads them: compressed, without optimizer state; they are assigned or restored, never trained.
  bool serving = false;
  bool skip_zero_embedding = false;  // serving: a key whose weights are all but 0 is not kept
  uint64_t initial_capacity = 1;
  uint32_t default_expire_days = 36500;
  std::vector<std::pair<uint32_t, uint32_t>> slot_expire_days;  // slot (v2) -> days
  bool has_expire_config = false;  // a config stood there, be it equal to the defaults
  bool enable_feature_eviction = false;  // in the background, every so many hours
  int32_t feature_evict_every_n_hours = 240;
  uint64_t seed = 0;  // of the random initializer; the same key gets the same start whatever the order or the threads

  int dim() const;
  int state_size() const;  // floats of optimizer state in one row
};

bool operator==(const TableConfig& a, const TableConfig& b);
inline bool operator!=(const TableConfig& a, const TableConfig& b) { return !(a == b); }

// Floats of optimizer state for a segment of `dim` weights.
int StateSize(const OptimizerConfig& optimizer, int dim);
const char* OptimizerName(OptimizerConfig::Kind kind);

// Throws Error(kConfig) naming table and field when the config cannot be right.
void ValidateTableConfig(const TableConfig& config);

// Decodes a serialized monolith.hash_table.EmbeddingHashTableConfig. Throws Error(kConfig) naming table and field.
TableConfig DecodeTableConfig(std::string_view name, std::string_view serialized);

}  // namespace monolith
