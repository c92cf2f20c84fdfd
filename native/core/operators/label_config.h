// What configures the operators that make labels, and the texts it is written in. All throw Error(kUsage): the texts
// with a caret under the mistake.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace monolith {

// The label of a task that a record says nothing about; filters by label drop it.
inline constexpr float kInvalidLabel = std::numeric_limits<float>::lowest();
// Most labels that a record is given.
inline constexpr int kMostLabels = 1 << 16;

// One label from actions: a sample when it has one of `positive`, else when it has one of `negative`; where `negative` is
// empty, all that is not positive is negative. Of the negative ones `rate` is taken.
struct TaskLabel {
  std::vector<int32_t> positive, negative;
  float rate = 1;  // 0 to 1
};
// What cannot be right about a task; "" for nothing.
std::string MistakeIn(const TaskLabel& task);

// POS:NEG:RATE[;…] (spec 20, section 8): comma lists of actions; empty tasks and items are passed over.
std::vector<TaskLabel> ParseTasks(std::string_view option, std::string_view text);

// CHNID:INDEX[,…] (section 9); INDEX 0 to 65535.
std::vector<std::pair<int64_t, int32_t>> ParseScatter(std::string_view option, std::string_view text);

// How a label is rescaled, by v (section 11).
enum class NormMethod : uint8_t { kLog, kScale, kScale2Int, kPow, kRepow, kScaleLog };
struct NormStep {
  NormMethod method;
  float value;
};
NormMethod ParseNormMethod(std::string_view name);
const char* NormMethodName(NormMethod method);
// METHOD=VALUE[,…]
std::vector<NormStep> ParseNormalization(std::string_view option, std::string_view text);

// HEAD=INDEX[,…] (section 13): the head is all before the last `=`, without `,` and `:`; INDEX 0 to 65535.
std::vector<std::pair<std::string, int32_t>> ParseHeads(std::string_view option, std::string_view text);

// ACTION:WEIGHT:LABEL[,…] (section 22); WEIGHT 0 to 1000000.
struct ActionWeight {
  int32_t action, weight, label;
};
inline constexpr int32_t kMostCopies = 1000000;
std::vector<ActionWeight> ParseReweight(std::string_view option, std::string_view text);

}  // namespace monolith
