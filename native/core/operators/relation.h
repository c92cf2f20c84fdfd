// The comparisons of the value filters (spec 20, section 2.1): one operator with its operands, of one type.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/operators/fid_scan.h"

namespace monolith {

enum class RelOp : uint8_t {
  kGt, kGe, kEq, kLt, kLe, kNe,  // v ⋈ o[0]
  kBetween,                      // o[0] ≤ v < o[1]
  kIn, kNotIn,                   // v ∈ o, v ∉ o
  kStartsWith, kEndsWith,        // strings: with any of o
  kAny, kAll, kDiff,             // integer lists as sets: V∩O ≠ ∅, O ⊆ V, V∩O = ∅
};

const char* RelOpName(RelOp op);
// By the names of the options: gt ge eq lt le neq between in not-in startswith endswith any all diff. Throws Error(kUsage).
RelOp ParseRelOp(std::string_view name);

// Integers compare as int64, fixed64 fields as uint64, floats as float32, strings by unsigned bytes. NaN equals nothing.
// Doubles compare with float32 operands: comparisons widen the operand (0.1 eq 0.1 is false), in and not-in narrow the
// value (0.1 in [0.1] is true).
class Relation {
 public:
  // Throw Error(kUsage) when there are fewer operands than the operator needs, or when it is none of the type's.
  static Relation Ints(RelOp op, std::vector<int64_t> operands);
  static Relation Uints(RelOp op, std::vector<uint64_t> operands);
  static Relation Floats(RelOp op, std::vector<float> operands);
  static Relation Doubles(RelOp op, std::vector<float> operands);
  static Relation Strings(RelOp op, std::vector<std::string> operands);
  static Relation List(RelOp op, std::vector<int64_t> operands);

  // Whether Int(v) is low <= v <= high.
  bool IsIntRange(int64_t* low, int64_t* high) const {
    *low = int_low_, *high = int_high_;
    return !by_set_ && !negated_;
  }
  bool of_list() const { return op_ >= RelOp::kAny; }
  bool Int(int64_t v) const {
    return (by_set_ ? set_.Contains(static_cast<uint64_t>(v)) : int_low_ <= v && v <= int_high_) != negated_;
  }
  bool Uint(uint64_t v) const { return (by_set_ ? set_.Contains(v) : uint_low_ <= v && v <= uint_high_) != negated_; }
  bool Float(float v) const;
  bool Double(double v) const;
  bool String(std::string_view v) const;
  bool List(const std::vector<int64_t>& v) const;

 private:
  explicit Relation(RelOp op) : op_(op) {}

  RelOp op_;
  bool by_set_ = false, negated_ = false;  // of integers
  int64_t int_low_ = 0, int_high_ = 0;     // every comparison of integers is a range, or what is not in it
  uint64_t uint_low_ = 0, uint_high_ = 0;
  std::vector<int64_t> ints_;  // of lists
  std::vector<float> floats_;
  std::vector<std::string> strings_;  // sorted for in, not in
  FidSet set_;                        // of integers, for the set operators
};

}  // namespace monolith
