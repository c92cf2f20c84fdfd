// Parses a --where expression, checks its types and writes its program. What joins conditions is in where_parser.cc, the
// conditions themselves are in where_condition.cc.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
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
    bool costly = false;  // looks at fids or features
  };
  using NodePtr = std::unique_ptr<Node>;

  // What stands on the left of a condition.
  struct Value {
    std::string name;  // as messages say it
    Predicate::Source source = Predicate::Source::kInt;
    int place = 0;
    bool is_bool = false;
    std::optional<FeatureType> type = std::nullopt;  // of a feature, when it is said
    Token at;
  };
  // What stands on the right.
  struct Right {
    std::vector<Token> literals;
    std::optional<Token> file;
  };

  NodePtr Or(int depth);
  NodePtr And(int depth);
  NodePtr Not(int depth);
  NodePtr Condition();
  NodePtr HasCall(const Token& name);
  Value ParseValue(const Token& name);
  Value FieldValue(const Token& name);
  Value FeatureValueOf(const Token& name);
  RelOp ParseOp(const Value& value, Token* at);
  void CheckOp(const Value& value, RelOp op, const Token& at) const;
  FeatureType TypeOf(const Value& value, RelOp op, const Right& right) const;
  Right ParseRight(RelOp op, const Token& at);
  Operands OperandsOf(const Value& value, OperandType type, const Right& right) const;
  void AddOperand(const Value& value, const Token& literal, Operands* operands) const;
  NodePtr BoolCondition(const Value& value);
  NodePtr Leaf(Predicate predicate, bool costly);
  static NodePtr Join(Node::Kind kind, std::vector<NodePtr> children);
  bool TakeAsRange(const Node& node);
  void Emit(const Node& node);

  const Token& Peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  Token Take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool TakeIf(std::string_view text);
  void Expect(std::string_view text, const char* where);
  static bool Is(const Token& token, std::string_view word) {
    return (token.kind == TokenKind::kSymbol || token.kind == TokenKind::kWord) && token.text == word;
  }
  Token Literal(const char* wanted);
  std::string Shown(const Token& token) const;
  [[noreturn]] void Fail(const Token& at, const std::string& what, ErrorCode code = ErrorCode::kUsage) const;

  std::string_view expression_;
  RecordView* view_;
  Where* where_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace monolith
