#include "core/operators/where_parser.h"

#include <algorithm>

#include "core/base/fid.h"

namespace monolith {
namespace {

constexpr int kMaxNesting = 200;

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

bool IsSymbol(const Token& token, std::string_view text) {
  return (token.kind == TokenKind::kSymbol || token.kind == TokenKind::kWord) && token.text == text;
}

}  // namespace

WhereParser::WhereParser(std::string_view expression, RecordView* view, Where* where)
    : expression_(expression), view_(view), where_(where), tokens_(TokenizeWhere(expression)) {}

// A token as it was written, not too long and without control characters.
std::string WhereParser::Shown(const Token& token) const {
  if (token.kind == TokenKind::kEnd) return "the end of the expression";
  constexpr size_t kMost = 40;
  std::string text(expression_.substr(token.begin, token.end - token.begin));
  if (text.size() > kMost) {
    size_t n = kMost;
    while (n > 0 && (text[n] & 0xc0) == 0x80) --n;
    text = text.substr(0, n) + "…";
  }
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return token.kind == TokenKind::kString ? text : "\"" + text + "\"";
}

void WhereParser::Fail(const Token& at, const std::string& what) const {
  FailAt(expression_, at.begin, at.end, what);
}

bool WhereParser::TakeIf(std::string_view text) {
  if (!IsSymbol(Peek(), text)) return false;
  Take();
  return true;
}

void WhereParser::Expect(std::string_view text, const char* where) {
  if (!TakeIf(text)) Fail(Peek(), "expected `" + std::string(text) + "` " + where + ", found " + Shown(Peek()));
}

void WhereParser::Run() {
  if (Peek().kind == TokenKind::kEnd) Fail(Peek(), "an empty expression");
  const NodePtr root = Or(0);
  if (Peek().kind != TokenKind::kEnd) Fail(Peek(), "expected `and`, `or` or the end, found " + Shown(Peek()));
  Emit(*root);
}

WhereParser::NodePtr WhereParser::Join(Node::Kind kind, std::vector<NodePtr> children) {
  if (children.size() == 1) return std::move(children[0]);
  auto node = std::make_unique<Node>();
  node->kind = kind;
  // Conditions have no side effects, so the cheap ones go first.
  std::stable_sort(children.begin(), children.end(), [](const auto& a, const auto& b) { return a->costly < b->costly; });
  node->costly = children.back()->costly;
  node->children = std::move(children);
  return node;
}

WhereParser::NodePtr WhereParser::Or(int depth) {
  std::vector<NodePtr> children;
  do children.push_back(And(depth));
  while (TakeIf("or"));
  return Join(Node::kOr, std::move(children));
}

WhereParser::NodePtr WhereParser::And(int depth) {
  std::vector<NodePtr> children;
  do children.push_back(Not(depth));
  while (TakeIf("and"));
  return Join(Node::kAnd, std::move(children));
}

WhereParser::NodePtr WhereParser::Not(int depth) {
  if (depth > kMaxNesting) Fail(Peek(), "nested too deep");
  if (TakeIf("not")) {
    auto node = std::make_unique<Node>();
    node->kind = Node::kNot;
    node->children.push_back(Not(depth + 1));
    node->costly = node->children[0]->costly;
    return node;
  }
  if (TakeIf("(")) {
    NodePtr inner = Or(depth + 1);
    Expect(")", "here");
    return inner;
  }
  return Condition();
}

WhereParser::NodePtr WhereParser::Leaf(Where::Predicate predicate, bool costly) {
  auto node = std::make_unique<Node>();
  node->predicate = static_cast<uint32_t>(where_->predicates_.size());
  node->costly = costly;
  where_->predicates_.push_back(std::move(predicate));
  return node;
}

WhereParser::NodePtr WhereParser::Condition() {
  const Token name = Take();
  if (name.kind == TokenKind::kInt || name.kind == TokenKind::kFloat || name.kind == TokenKind::kString)
    Fail(name, "a condition starts with a field: write `chnid >= 1`, not `1 <= chnid`");
  if (name.kind != TokenKind::kWord) Fail(name, "expected a condition, found " + Shown(name));
  if (name.text == "has_slot" || name.text == "has_fid") return HasCall(name);
  const Value value = ParseValue(name);
  if (value.is_bool) return BoolCondition(value);
  Token at;
  const RelOp op = ParseOp(value, &at);
  const std::vector<Token> operands = Operands(op, at);
  return Leaf({value.source, value.place, 0, MakeRelation(value, op, operands, at)}, false);
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
  const uint64_t number = id.negative ? 0 - id.magnitude : id.magnitude;
  return Leaf({slot ? Where::Source::kHasSlot : Where::Source::kHasFid, 0, number, std::nullopt}, true);
}

WhereParser::Value WhereParser::ParseValue(const Token& name) {
  using Source = Where::Source;
  if (name.text == "label") {
    int index = 0;
    if (TakeIf("[")) {
      const Token number = Literal("the number of a label");
      if (number.kind != TokenKind::kInt || number.negative || number.magnitude > 1000000)
        Fail(number, "the number of a label counts from 0");
      index = static_cast<int>(number.magnitude);
      Expect("]", "after the number of the label");
    }
    view_->WantLabels();
    return {name.text, Source::kLabel, index};
  }
  if (name.text == "instance_weight") {
    view_->WantWeight();
    return {name.text, Source::kWeight, 0};
  }
  const LineIdField* field = FindLineIdField(name.text);
  if (!field) {
    std::vector<std::string_view> names = {"label", "instance_weight", "has_slot", "has_fid"};
    std::string all;
    for (const LineIdField& f : kLineIdFields) names.push_back(f.name);
    for (std::string_view n : names) all.append(all.empty() ? "" : ", ").append(n);
    const std::string_view nearest = NearestName(name.text, names);
    Fail(name, "unknown field \"" + name.text + "\"; " +
                   (nearest.empty() ? "known are " + all : "did you mean " + std::string(nearest) + "?"));
  }
  const int place = view_->WantLineId(*field);
  if (field->repeated) return {name.text, Source::kList, place};
  switch (field->kind) {
    case FieldKind::kUint64: return {name.text, Source::kUint, place};
    case FieldKind::kFloat: return {name.text, Source::kFloat, place};
    case FieldKind::kString: return {name.text, Source::kString, place};
    case FieldKind::kBool: return {name.text, Source::kInt, place, true};
    default: return {name.text, Source::kInt, place};
  }
}

// `is_draw`, `is_draw == true`, `is_draw != false`.
WhereParser::NodePtr WhereParser::BoolCondition(const Value& value) {
  const auto leaf = [&](bool wanted) {
    return Leaf({value.source, value.place, 0, Relation::Ints(RelOp::kEq, {wanted})}, false);
  };
  const Token at = Peek();
  if (at.kind == TokenKind::kEnd || IsSymbol(at, "and") || IsSymbol(at, "or") || IsSymbol(at, ")")) return leaf(true);
  const bool equal = TakeIf("==") || TakeIf("=") || TakeIf("eq");
  if (!equal && !TakeIf("!=") && !TakeIf("neq"))
    Fail(at, value.name + " is a bool: write `" + value.name + "`, `not " + value.name + "` or `" + value.name +
                 " == true`");
  const Token literal = Take();
  if (!IsSymbol(literal, "true") && !IsSymbol(literal, "false"))
    Fail(literal, "expected true or false, found " + Shown(literal));
  return leaf((literal.text == "true") == equal);
}

RelOp WhereParser::ParseOp(const Value& value, Token* at) {
  *at = Take();
  if (IsSymbol(*at, "not") && IsSymbol(Peek(), "in")) {
    at->end = Take().end;
    at->text = "not-in";
  }
  const OpWord* word = std::find_if(std::begin(kOpWords), std::end(kOpWords),
                                    [&](const OpWord& w) { return IsSymbol(*at, w.text); });
  if (word == std::end(kOpWords))
    Fail(*at, "expected an operator after " + value.name +
                  " (>= > <= < == != in between startswith endswith any all diff), found " + Shown(*at));
  const RelOp op = word->op;
  using Source = Where::Source;
  if (value.source == Source::kList && op < RelOp::kAny)
    Fail(*at, value.name + " is a list: use any, all or diff");
  if (value.source != Source::kList && op >= RelOp::kAny)
    Fail(*at, std::string(RelOpName(op)) + " is for lists (actions, pre_actions, special_strategies); for " + value.name +
                  " use in");
  if (value.source != Source::kString && (op == RelOp::kStartsWith || op == RelOp::kEndsWith))
    Fail(*at, std::string(RelOpName(op)) + " is for strings, and " + value.name + " is a number");
  return op;
}

Token WhereParser::Literal(const char* wanted) {
  const Token token = Take();
  if (token.kind == TokenKind::kInt || token.kind == TokenKind::kFloat || token.kind == TokenKind::kString) return token;
  if (token.kind == TokenKind::kWord)
    Fail(token, std::string("expected ") + wanted + ", found " + Shown(token) + "; a string stands in quotes");
  Fail(token, std::string("expected ") + wanted + ", found " + Shown(token));
}

std::vector<Token> WhereParser::Operands(RelOp op, const Token& at) {
  std::vector<Token> operands;
  const bool list = op >= RelOp::kBetween && TakeIf("[");
  if (list) {
    while (!TakeIf("]")) {
      operands.push_back(Literal("a number, a string or `]`"));
      if (!IsSymbol(Peek(), "]")) Expect(",", "between the values of a list");
    }
    if (op == RelOp::kBetween && operands.size() != 2) Fail(at, "between takes two values");
    return operands;
  }
  if (op == RelOp::kIn || op == RelOp::kNotIn) Expect("[", "after in");
  operands.push_back(Literal("a number or a string"));
  if (op == RelOp::kBetween) {
    Expect("and", "between the two values of between");
    operands.push_back(Literal("a number or a string"));
  }
  return operands;
}

Relation WhereParser::MakeRelation(const Value& value, RelOp op, const std::vector<Token>& operands, const Token& at) {
  using Source = Where::Source;
  if (value.source == Source::kString) {
    std::vector<std::string> strings;
    for (const Token& o : operands) {
      if (o.kind != TokenKind::kString) Fail(o, value.name + " is a string: write \"" + o.text + "\"");
      strings.push_back(o.text);
    }
    return Relation::Strings(op, std::move(strings));
  }
  const bool is_float = value.source == Source::kFloat || value.source == Source::kLabel || value.source == Source::kWeight;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<uint64_t> uints;
  for (const Token& o : operands) {
    if (o.kind == TokenKind::kString) Fail(o, value.name + " is a number, not a string");
    floats.push_back(static_cast<float>(o.number));
    if (is_float) continue;
    if (o.kind == TokenKind::kFloat) Fail(o, value.name + " is an integer, not a float");
    uints.push_back(o.negative ? 0 - o.magnitude : o.magnitude);
    if (value.source != Source::kUint && !o.negative && o.magnitude > static_cast<uint64_t>(INT64_MAX))
      Fail(o, "a number that does not fit into " + value.name + ", which is signed");
    ints.push_back(static_cast<int64_t>(uints.back()));
  }
  if (is_float) return Relation::Floats(op, std::move(floats));
  if (value.source == Source::kUint) return Relation::Uints(op, std::move(uints));
  return value.source == Source::kList ? Relation::List(op, std::move(ints)) : Relation::Ints(op, std::move(ints));
}

void WhereParser::Emit(const Node& node) {
  std::vector<Where::Step>& steps = where_->steps_;
  switch (node.kind) {
    case Node::kTest:
      steps.push_back({Where::Op::kTest, node.predicate});
      return;
    case Node::kNot:
      Emit(*node.children[0]);
      steps.push_back({Where::Op::kNot, 0});
      return;
    default: {
      std::vector<size_t> jumps;
      for (const NodePtr& child : node.children) {
        if (!jumps.empty() || &child != &node.children.front()) {
          jumps.push_back(steps.size());
          steps.push_back({node.kind == Node::kAnd ? Where::Op::kJumpIfFalse : Where::Op::kJumpIfTrue, 0});
        }
        Emit(*child);
      }
      for (size_t jump : jumps) steps[jump].arg = static_cast<uint32_t>(steps.size());
    }
  }
}

}  // namespace monolith
