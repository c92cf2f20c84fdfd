// The conditions of a --where expression: values, operators and operands, and their types.
#include <algorithm>

#include "core/base/fid.h"
#include "core/operators/where_parser.h"

namespace monolith {
namespace {

using Source = Predicate::Source;

struct OpWord {
  std::string_view text;
  RelOp op;
};
constexpr OpWord kOpWords[] = {
    {">", RelOp::kGt}, {"gt", RelOp::kGt}, {">=", RelOp::kGe}, {"ge", RelOp::kGe}, {"==", RelOp::kEq}, {"=", RelOp::kEq},
    {"eq", RelOp::kEq}, {"<", RelOp::kLt}, {"lt", RelOp::kLt}, {"<=", RelOp::kLe}, {"le", RelOp::kLe},
    {"!=", RelOp::kNe}, {"neq", RelOp::kNe}, {"between", RelOp::kBetween}, {"in", RelOp::kIn}, {"not-in", RelOp::kNotIn},
    {"startswith", RelOp::kStartsWith}, {"endswith", RelOp::kEndsWith}, {"any", RelOp::kAny}, {"all", RelOp::kAll},
    {"diff", RelOp::kDiff}};

bool IsLiteral(const Token& token) {
  return token.kind == TokenKind::kInt || token.kind == TokenKind::kFloat || token.kind == TokenKind::kString;
}

// The repeated fields of integers, "actions, pre_actions, special_strategies".
std::string ListFields() {
  std::string all;
  for (const LineIdField& f : kLineIdFields)
    if (f.repeated && SourceOf(f)) all.append(all.empty() ? "" : ", ").append(f.name);
  return all;
}

}  // namespace

WhereParser::NodePtr WhereParser::Condition() {
  const Token name = Take();
  if (IsLiteral(name)) Fail(name, "a condition starts with a field: write `chnid >= 1`, not `1 <= chnid`");
  if (name.kind != TokenKind::kWord) Fail(name, "expected a condition, found " + Shown(name));
  if (name.text == "has_slot" || name.text == "has_fid") return HasCall(name);
  const Value value = ParseValue(name);
  if (value.is_bool) return BoolCondition(value);
  Token at;
  const RelOp op = ParseOp(value, &at);
  const Right right = ParseRight(op, at);
  Predicate p;
  p.source = value.source;
  p.place = value.place;
  if (p.source == Source::kFeature) {
    p.type = TypeOf(value, op, right);
    Value typed = value;
    typed.type = p.type;
    CheckOp(typed, op, at);
    p.relation = MakeRelation(op, OperandsOf(typed, OperandTypeOf(p.source, p.type, op), right));
    return Leaf(std::move(p), true);
  }
  p.relation = MakeRelation(op, OperandsOf(value, OperandTypeOf(p.source, p.type, op), right));
  return Leaf(std::move(p), false);
}

WhereParser::NodePtr WhereParser::HasCall(const Token& name) {
  const bool slot = name.text == "has_slot";
  Expect("(", slot ? "after has_slot" : "after has_fid");
  const Token id = Literal("a number");
  if (id.kind != TokenKind::kInt) Fail(id, name.text + " takes an integer");
  if (slot && (id.negative || id.magnitude >= fid::kSlotsV2))
    Fail(id, "slot should be less than 32768, while got " + id.text);
  Expect(")", slot ? "after the slot" : "after the fid");
  view_->WantFids();
  Predicate p;
  p.source = slot ? Source::kHasSlot : Source::kHasFid;
  p.id = id.negative ? 0 - id.magnitude : id.magnitude;
  return Leaf(std::move(p), true);
}

WhereParser::Value WhereParser::ParseValue(const Token& name) {
  Value value;
  value.name = name.text;
  value.at = name;
  if (name.text == "feature") return FeatureValueOf(name);
  if (name.text == "label") {
    value.source = Source::kLabel;
    if (TakeIf("[")) {
      const Token number = Literal("the number of a label");
      if (number.kind != TokenKind::kInt || number.negative || number.magnitude > 1000000)
        Fail(number, "the number of a label counts from 0");
      value.place = static_cast<int>(number.magnitude);
      Expect("]", "after the number of the label");
    }
    view_->WantLabels();
    return value;
  }
  if (name.text == "instance_weight") {
    value.source = Source::kWeight;
    view_->WantWeight();
    return value;
  }
  return FieldValue(name);
}

WhereParser::Value WhereParser::FieldValue(const Token& name) {
  const LineIdField* field = FindLineIdField(name.text);
  if (!field) {
    std::vector<std::string_view> names = {"label", "instance_weight", "has_slot", "has_fid", "feature"};
    std::string all;
    for (const LineIdField& f : kLineIdFields) names.push_back(f.name);
    for (std::string_view n : names) all.append(all.empty() ? "" : ", ").append(n);
    const std::string_view nearest = NearestName(name.text, names);
    Fail(name, "unknown field \"" + name.text + "\"; " +
                   (nearest.empty() ? "known are " + all : "did you mean " + std::string(nearest) + "?"));
  }
  const std::optional<Source> source = SourceOf(*field);
  if (!source) Fail(name, "no operator works on " + name.text + ", a repeated field that is not of integers");
  Value value;
  value.name = name.text;
  value.source = *source;
  value.place = view_->WantLineId(*field);
  value.is_bool = field->kind == FieldKind::kBool;
  value.at = name;
  return value;
}

// feature("name") or feature("name", double)
WhereParser::Value WhereParser::FeatureValueOf(const Token& name) {
  if (view_->type() != RecordType::kExample)
    Fail(name, "named features are there in an example alone, not in an " + std::string(RecordTypeName(view_->type())) +
                   " (--type example)");
  Expect("(", "after feature");
  const Token feature = Take();
  if (feature.kind != TokenKind::kString)
    Fail(feature, "expected the name of a feature, found " + Shown(feature) + "; it stands in quotes");
  Value value;
  value.name = "feature(" + Shown(feature) + ")";
  value.source = Source::kFeature;
  if (TakeIf(",")) {
    const Token type = Take();
    if (type.kind == TokenKind::kWord) value.type = ParseFeatureType(type.text);
    if (!value.type) Fail(type, "expected int64, float, double or bytes, found " + Shown(type));
  }
  value.at = name;
  value.at.end = Peek().end;
  Expect(")", "after the feature");
  value.place = view_->WantFeature(feature.text);
  return value;
}

// `is_draw`, `is_draw == true`, `is_draw != false`.
WhereParser::NodePtr WhereParser::BoolCondition(const Value& value) {
  const auto leaf = [&](bool wanted) {
    Predicate p;
    p.source = value.source;
    p.place = value.place;
    p.relation = Relation::Ints(RelOp::kEq, {wanted});
    return Leaf(std::move(p), false);
  };
  const Token at = Peek();
  if (at.kind == TokenKind::kEnd || Is(at, "and") || Is(at, "or") || Is(at, ")")) return leaf(true);
  const bool equal = TakeIf("==") || TakeIf("=") || TakeIf("eq");
  if (!equal && !TakeIf("!=") && !TakeIf("neq"))
    Fail(at, value.name + " is a bool: write `" + value.name + "`, `not " + value.name + "` or `" + value.name +
                 " == true`");
  const Token literal = Take();
  if (!Is(literal, "true") && !Is(literal, "false")) Fail(literal, "expected true or false, found " + Shown(literal));
  return leaf((literal.text == "true") == equal);
}

RelOp WhereParser::ParseOp(const Value& value, Token* at) {
  *at = Take();
  if (Is(*at, "not") && Is(Peek(), "in")) {
    at->end = Take().end;
    at->text = "not-in";
  }
  const OpWord* word = std::find_if(std::begin(kOpWords), std::end(kOpWords),
                                    [&](const OpWord& w) { return Is(*at, w.text); });
  if (word == std::end(kOpWords))
    Fail(*at, "expected an operator after " + value.name +
                  " (>= > <= < == != in between startswith endswith any all diff), found " + Shown(*at));
  CheckOp(value, word->op, *at);
  return word->op;
}

// A feature whose type is not known yet has every operator.
void WhereParser::CheckOp(const Value& value, RelOp op, const Token& at) const {
  const std::string word = RelOpName(op);
  const bool on_text = op == RelOp::kStartsWith || op == RelOp::kEndsWith;
  if (value.source == Source::kFeature) {
    if (!value.type) return;
    if (op >= RelOp::kAny && *value.type != FeatureType::kInt64) Fail(at, word + " is for features of type int64");
    if (on_text && *value.type != FeatureType::kBytes) Fail(at, word + " is for features of type bytes");
    return;
  }
  if (value.source == Source::kList && op < RelOp::kAny) Fail(at, value.name + " is a list: use any, all or diff");
  if (value.source != Source::kList && op >= RelOp::kAny)
    Fail(at, word + " is for lists (" + ListFields() + "); for " + value.name + " use in");
  if (value.source != Source::kString && on_text) Fail(at, word + " is for strings, and " + value.name + " is a number");
}

FeatureType WhereParser::TypeOf(const Value& value, RelOp op, const Right& right) const {
  if (value.type) return *value.type;
  if (op >= RelOp::kAny) return FeatureType::kInt64;
  if (op == RelOp::kStartsWith || op == RelOp::kEndsWith) return FeatureType::kBytes;
  if (right.literals.empty()) {
    std::string with_type = value.name;
    with_type.insert(with_type.size() - 1, ", int64");
    Fail(value.at, "the type of this feature cannot be told: write " + with_type + ", or float, double or bytes");
  }
  const auto any = [&](TokenKind kind) {
    return std::any_of(right.literals.begin(), right.literals.end(), [kind](const Token& t) { return t.kind == kind; });
  };
  return any(TokenKind::kString) ? FeatureType::kBytes : any(TokenKind::kFloat) ? FeatureType::kFloat : FeatureType::kInt64;
}

Token WhereParser::Literal(const char* wanted) {
  const Token token = Take();
  if (IsLiteral(token)) return token;
  if (token.kind == TokenKind::kWord)
    Fail(token, std::string("expected ") + wanted + ", found " + Shown(token) + "; a string stands in quotes");
  if (token.kind == TokenKind::kFile) Fail(token, "a file goes with in and not in");
  Fail(token, std::string("expected ") + wanted + ", found " + Shown(token));
}

WhereParser::Right WhereParser::ParseRight(RelOp op, const Token& at) {
  Right right;
  const bool membership = op == RelOp::kIn || op == RelOp::kNotIn;
  if (membership && Peek().kind == TokenKind::kFile) {
    right.file = Take();
    return right;
  }
  if (op >= RelOp::kBetween && TakeIf("[")) {
    while (!TakeIf("]")) {
      right.literals.push_back(Literal("a number, a string or `]`"));
      if (!Is(Peek(), "]")) Expect(",", "between the values of a list");
    }
    if (op == RelOp::kBetween && right.literals.size() != 2) Fail(at, "between takes two values");
    return right;
  }
  if (membership) Expect("[", "after in");
  right.literals.push_back(Literal("a number or a string"));
  if (op == RelOp::kBetween) {
    Expect("and", "between the two values of between");
    right.literals.push_back(Literal("a number or a string"));
  }
  return right;
}

Operands WhereParser::OperandsOf(const Value& value, OperandType type, const Right& right) const {
  if (right.file) {
    if (value.source == Source::kFeature && type == OperandType::kDouble)
      Fail(*right.file, "no file holds values for a feature of type double");
    try {
      return ReadOperandFile(type, right.file->text);
    } catch (const Error& e) {
      Fail(*right.file, e.what(), e.code());
    }
  }
  Operands operands;
  operands.type = type;
  for (const Token& literal : right.literals) AddOperand(value, literal, &operands);
  return operands;
}

void WhereParser::AddOperand(const Value& value, const Token& literal, Operands* operands) const {
  const std::string is_a = value.name + (value.source == Source::kFeature ? " is taken for " : " is ");
  if (operands->type == OperandType::kString) {
    if (literal.kind != TokenKind::kString) Fail(literal, is_a + "a string: write \"" + literal.text + "\"");
    operands->strings.push_back(literal.text);
    return;
  }
  if (literal.kind == TokenKind::kString) Fail(literal, is_a + "a number, not a string");
  if (operands->type == OperandType::kFloat || operands->type == OperandType::kDouble) {
    operands->floats.push_back(static_cast<float>(literal.number));
    return;
  }
  if (literal.kind == TokenKind::kFloat) Fail(literal, is_a + "an integer, not a float");
  const uint64_t number = literal.negative ? 0 - literal.magnitude : literal.magnitude;
  if (operands->type == OperandType::kUint) {
    operands->uints.push_back(number);
    return;
  }
  if (!literal.negative && literal.magnitude > static_cast<uint64_t>(INT64_MAX))
    Fail(literal, "a number that does not fit into " + value.name + ", which is signed");
  operands->ints.push_back(static_cast<int64_t>(number));
}

}  // namespace monolith
