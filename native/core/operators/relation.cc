#include "core/operators/relation.h"

#include <algorithm>
#include <limits>

#include "core/base/error.h"

namespace monolith {
namespace {

void Require(RelOp op, size_t operands, bool fits, const char* type) {
  if (!fits)
    throw Error(ErrorCode::kUsage, std::string(RelOpName(op)) + " does not work on a value of type " + type);
  const size_t needed = op == RelOp::kBetween ? 2 : op < RelOp::kBetween ? 1 : 0;
  if (operands < needed)
    throw Error(ErrorCode::kUsage, std::string(RelOpName(op)) + " needs " + std::to_string(needed) + " operand" +
                                       (needed > 1 ? "s" : "") + ", got " + std::to_string(operands));
}

bool IsScalarOp(RelOp op) { return op <= RelOp::kNotIn; }
bool IsSetOp(RelOp op) { return op == RelOp::kIn || op == RelOp::kNotIn || op >= RelOp::kAny; }

template <class T, class O>
bool Compare(RelOp op, const T& v, const std::vector<O>& o) {
  switch (op) {
    case RelOp::kGt: return v > o[0];
    case RelOp::kGe: return v >= o[0];
    case RelOp::kEq: return v == o[0];
    case RelOp::kLt: return v < o[0];
    case RelOp::kLe: return v <= o[0];
    case RelOp::kNe: return v != o[0];
    default: return o[0] <= v && v < o[1];
  }
}

// low ≤ v ≤ high; for what never holds, low > high.
template <class T>
void SetRange(RelOp op, const std::vector<T>& o, T* low, T* high) {
  constexpr T min = std::numeric_limits<T>::min(), max = std::numeric_limits<T>::max();
  const auto never = [&] { *low = max, *high = min; };
  *low = min, *high = max;
  switch (op) {
    case RelOp::kGt: o[0] == max ? never() : void(*low = o[0] + 1); break;
    case RelOp::kGe: *low = o[0]; break;
    case RelOp::kLt: o[0] == min ? never() : void(*high = o[0] - 1); break;
    case RelOp::kLe: *high = o[0]; break;
    case RelOp::kBetween: o[1] == min ? never() : void((*low = o[0], *high = o[1] - 1)); break;
    default: *low = *high = o[0];
  }
}

}  // namespace

const char* RelOpName(RelOp op) {
  static constexpr const char* names[] = {"gt", "ge", "eq", "lt", "le", "neq", "between", "in", "not in",
                                          "startswith", "endswith", "any", "all", "diff"};
  return names[static_cast<int>(op)];
}

RelOp ParseRelOp(std::string_view name) {
  if (name == "not-in") return RelOp::kNotIn;
  for (int op = 0; op <= static_cast<int>(RelOp::kDiff); ++op)
    if (static_cast<RelOp>(op) != RelOp::kNotIn && name == RelOpName(static_cast<RelOp>(op))) return static_cast<RelOp>(op);
  throw Error(ErrorCode::kUsage, "unknown operator \"" + std::string(name) +
                                     "\"; known are gt ge eq lt le neq between in not-in all any diff startswith endswith");
}

Relation Relation::Ints(RelOp op, std::vector<int64_t> operands) {
  Require(op, operands.size(), IsScalarOp(op), "int");
  Relation r(op);
  r.negated_ = op == RelOp::kNotIn || op == RelOp::kNe;
  r.by_set_ = IsSetOp(op);
  if (r.by_set_) {
    r.set_ = FidSet({operands.begin(), operands.end()});
  } else {
    SetRange(op, operands, &r.int_low_, &r.int_high_);
  }
  return r;
}

Relation Relation::Uints(RelOp op, std::vector<uint64_t> operands) {
  Require(op, operands.size(), IsScalarOp(op), "int");
  Relation r(op);
  r.negated_ = op == RelOp::kNotIn || op == RelOp::kNe;
  r.by_set_ = IsSetOp(op);
  if (r.by_set_) {
    r.set_ = FidSet(std::move(operands));
  } else {
    SetRange(op, operands, &r.uint_low_, &r.uint_high_);
  }
  return r;
}

Relation Relation::Floats(RelOp op, std::vector<float> operands) {
  Require(op, operands.size(), IsScalarOp(op), "float");
  Relation r(op);
  r.floats_ = std::move(operands);
  if (IsSetOp(op)) {
    r.floats_.erase(std::remove_if(r.floats_.begin(), r.floats_.end(), [](float v) { return v != v; }), r.floats_.end());
    std::sort(r.floats_.begin(), r.floats_.end());
  }
  return r;
}

Relation Relation::Doubles(RelOp op, std::vector<float> operands) { return Floats(op, std::move(operands)); }

Relation Relation::Strings(RelOp op, std::vector<std::string> operands) {
  Require(op, operands.size(), op < RelOp::kAny, "string");
  Relation r(op);
  if (IsSetOp(op)) std::sort(operands.begin(), operands.end());
  r.strings_ = std::move(operands);
  return r;
}

Relation Relation::List(RelOp op, std::vector<int64_t> operands) {
  Require(op, operands.size(), op >= RelOp::kAny, "list of int");
  Relation r(op);
  r.set_ = FidSet({operands.begin(), operands.end()});
  r.ints_ = std::move(operands);
  return r;
}

bool Relation::Float(float v) const {
  if (IsSetOp(op_))
    return (v == v && std::binary_search(floats_.begin(), floats_.end(), v)) == (op_ == RelOp::kIn);
  return Compare(op_, v, floats_);
}

bool Relation::Double(double v) const { return IsSetOp(op_) ? Float(static_cast<float>(v)) : Compare(op_, v, floats_); }

bool Relation::String(std::string_view v) const {
  if (op_ == RelOp::kStartsWith || op_ == RelOp::kEndsWith) {
    for (const std::string& o : strings_) {
      if (o.size() > v.size()) continue;
      if (v.substr(op_ == RelOp::kStartsWith ? 0 : v.size() - o.size(), o.size()) == o) return true;
    }
    return false;
  }
  if (IsSetOp(op_))
    return std::binary_search(strings_.begin(), strings_.end(), v, std::less<>()) == (op_ == RelOp::kIn);
  return Compare(op_, v, strings_);
}

bool Relation::List(const std::vector<int64_t>& v) const {
  if (op_ == RelOp::kAll) {
    return std::all_of(ints_.begin(), ints_.end(),
                       [&](int64_t o) { return std::find(v.begin(), v.end(), o) != v.end(); });
  }
  const bool meets = std::any_of(v.begin(), v.end(), [&](int64_t x) { return set_.Contains(static_cast<uint64_t>(x)); });
  return meets == (op_ == RelOp::kAny);
}

}  // namespace monolith
