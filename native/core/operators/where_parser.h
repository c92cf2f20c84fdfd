// Parses a --where expression, checks its types and writes its program.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/operators/where.h"
#include "core/operators/where_lexer.h"

namespace monolith {

class WhereParser {
 public:
  WhereParser(std::string_view expression, RecordView* view, Where* where);
  void Run();

 private:
  struct Node {
    enum Kind { kAnd, kOr, kNot, kTest } kind = kTest;
    std::vector<std::unique_ptr<Node>> children;
    uint32_t predicate = 0;
    bool costly = false;  // looks at fids
  };
  using NodePtr = std::unique_ptr<Node>;

  // What stands on the left of a condition.
  struct Value {
    std::string name;
    Where::Source source;
    int place;
    bool is_bool = false;
  };

  NodePtr Or(int depth);
  NodePtr And(int depth);
  NodePtr Not(int depth);
  NodePtr Condition();
  NodePtr HasCall(const Token& name);
  Value ParseValue(const Token& name);
  RelOp ParseOp(const Value& value, Token* at);
  std::vector<Token> Operands(RelOp op, const Token& at);
  Relation MakeRelation(const Value& value, RelOp op, const std::vector<Token>& operands, const Token& at);
  NodePtr BoolCondition(const Value& value);
  NodePtr Leaf(Where::Predicate predicate, bool costly);
  static NodePtr Join(Node::Kind kind, std::vector<NodePtr> children);
  void Emit(const Node& node);

  const Token& Peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  Token Take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool TakeIf(std::string_view text);
  void Expect(std::string_view text, const char* where);
  Token Literal(const char* wanted);
  std::string Shown(const Token& token) const;
  [[noreturn]] void Fail(const Token& at, const std::string& what) const;

  std::string_view expression_;
  RecordView* view_;
  Where* where_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace monolith
