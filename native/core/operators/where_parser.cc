#include "core/operators/where_parser.h"

#include <algorithm>

namespace monolith {
namespace {

constexpr int kMaxNesting = 200;

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

void WhereParser::Fail(const Token& at, const std::string& what, ErrorCode code) const {
  FailAt(expression_, at.begin, at.end, what, code);
}

bool WhereParser::TakeIf(std::string_view text) {
  if (!Is(Peek(), text)) return false;
  Take();
  return true;
}

void WhereParser::Expect(std::string_view text, const char* where) {
  if (!TakeIf(text)) Fail(Peek(), "expected `" + std::string(text) + "` " + where + ", found " + Shown(Peek()));
}

void WhereParser::Run() {
  if (Peek().kind == TokenKind::kEnd) Fail(Peek(), "an empty expression");
  NodePtr root = Or(0);
  if (Peek().kind != TokenKind::kEnd) Fail(Peek(), "expected `and`, `or` or the end, found " + Shown(Peek()));
  if (TakeAsRange(*root)) return;
  if (root->kind == Node::kAnd) {
    std::vector<NodePtr>& all = root->children;
    all.erase(std::remove_if(all.begin(), all.end(), [this](const NodePtr& child) { return TakeAsRange(*child); }), all.end());
    if (all.empty()) return;
    if (all.size() == 1) root = std::move(all.front());
  }
  Emit(*root);
}

// A comparison of an integer field by which every match must go; several of one field make one range.
bool WhereParser::TakeAsRange(const Node& node) {
  if (node.kind != Node::kTest) return false;
  const Predicate& p = where_->predicates_[node.predicate];
  Where::Range range = {p.place, 0, 0};
  if (p.source != Predicate::Source::kInt || !p.relation->IsIntRange(&range.low, &range.high)) return false;
  for (Where::Range& other : where_->ranges_) {
    if (other.place != range.place) continue;
    other.low = std::max(other.low, range.low);
    other.high = std::min(other.high, range.high);
    return true;
  }
  where_->ranges_.push_back(range);
  return true;
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

WhereParser::NodePtr WhereParser::Leaf(Predicate predicate, bool costly) {
  auto node = std::make_unique<Node>();
  node->predicate = static_cast<uint32_t>(where_->predicates_.size());
  node->costly = costly;
  where_->predicates_.push_back(std::move(predicate));
  return node;
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
