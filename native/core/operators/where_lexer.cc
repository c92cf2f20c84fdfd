#include "core/operators/where_lexer.h"

#include <algorithm>
#include <cstdlib>

#include "core/base/caret.h"

namespace monolith {
namespace {

bool IsWordStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWord(char c) { return IsWordStart(c) || IsDigit(c); }
int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsKeyword(std::string_view word) {
  static constexpr std::string_view words[] = {"and", "or", "not", "in", "between", "startswith", "endswith", "any", "all",
                                               "diff", "true", "false", "gt", "ge", "eq", "lt", "le", "neq"};
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> Run() {
    std::vector<Token> tokens;
    while (true) {
      while (at_ < text_.size() && (text_[at_] == ' ' || (text_[at_] >= '\t' && text_[at_] <= '\r'))) ++at_;
      tokens.push_back(Next());
      if (tokens.back().kind == TokenKind::kEnd) return tokens;
    }
  }

 private:
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  [[noreturn]] void Fail(size_t begin, const std::string& what) { FailAt(text_, begin, std::max(at_, begin + 1), what); }

  Token Next() {
    Token token;
    token.begin = at_;
    if (at_ >= text_.size()) {
      token.end = at_;
      return token;
    }
    const char c = Peek();
    if (IsWordStart(c)) {
      Word(&token);
    } else if (IsDigit(c) || ((c == '-' || c == '.') && (IsDigit(Peek(1)) || (c == '-' && Peek(1) == '.')))) {
      Number(&token);
    } else if (c == '"' || c == '\'') {
      String(&token);
    } else if (c == '@') {
      File(&token);
    } else {
      Symbol(&token);
    }
    token.end = at_;
    return token;
  }

  void Word(Token* token) {
    while (IsWord(Peek())) ++at_;
    token->kind = TokenKind::kWord;
    token->text = std::string(text_.substr(token->begin, at_ - token->begin));
    std::string lower = token->text;
    for (char& c : lower)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!IsKeyword(lower)) return;
    token->text = lower;
    if (lower == "not" && text_.substr(at_, 3) == "-in" && !IsWord(Peek(3))) {
      at_ += 3;
      token->text = "not-in";
    }
  }

  void Number(Token* token) {
    if (Peek() == '-') {
      token->negative = true;
      ++at_;
    }
    const size_t digits = at_;
    if (Peek() == '0' && (Peek(1) == 'x' || Peek(1) == 'X')) {
      at_ += 2;
      while (IsWord(Peek())) ++at_;
      Integer(token, text_.substr(digits + 2, at_ - digits - 2), 16);
      return;
    }
    bool is_float = false;
    while (IsWord(Peek()) || Peek() == '.' || ((Peek() == '-' || Peek() == '+') && (text_[at_ - 1] | 0x20) == 'e')) {
      is_float |= Peek() == '.' || (Peek() | 0x20) == 'e';
      ++at_;
    }
    if (!is_float) return Integer(token, text_.substr(digits, at_ - digits), 10);
    token->kind = TokenKind::kFloat;
    token->text = std::string(text_.substr(token->begin, at_ - token->begin));
    char* end = nullptr;
    token->number = std::strtod(token->text.c_str(), &end);
    if (*end != '\0') Fail(token->begin, "\"" + token->text + "\" is no number");
  }

  void Integer(Token* token, std::string_view digits, unsigned base) {
    token->kind = TokenKind::kInt;
    token->text = std::string(text_.substr(token->begin, at_ - token->begin));
    if (digits.empty()) Fail(token->begin, "\"" + token->text + "\" is no number");
    for (char c : digits) {
      const int digit = HexDigit(c);
      if (digit < 0 || static_cast<unsigned>(digit) >= base)
        Fail(token->begin, "\"" + token->text + "\" is no number; quote it if it is a string");
      uint64_t next = 0;
      if (__builtin_mul_overflow(token->magnitude, uint64_t{base}, &next) ||
          __builtin_add_overflow(next, static_cast<uint64_t>(digit), &next))
        Fail(token->begin, "a number that does not fit into 64 bits");
      token->magnitude = next;
    }
    if (token->negative && token->magnitude > uint64_t{1} << 63)
      Fail(token->begin, "a number that does not fit into 64 bits");
    token->number = static_cast<double>(token->magnitude) * (token->negative ? -1 : 1);
  }

  void String(Token* token) {
    token->kind = TokenKind::kString;
    const char quote = text_[at_++];
    while (true) {
      if (at_ >= text_.size()) Fail(token->begin, "a string without its closing quote");
      const char c = text_[at_++];
      if (c == quote) return;
      c == '\\' ? Escape(token) : token->text.push_back(c);
    }
  }

  void File(Token* token) {
    ++at_;
    if (Peek() == '"' || Peek() == '\'') {
      String(token);
    } else {
      const size_t path = at_;
      at_ = std::min(text_.find_first_of(" \t\n\v\f\r()[],", at_), text_.size());
      token->text = std::string(text_.substr(path, at_ - path));
    }
    if (token->text.empty()) Fail(token->begin, "a file without a name");
    if (token->text.find('\0') != std::string::npos) Fail(token->begin, "no file can have such a name");
    token->kind = TokenKind::kFile;
  }

  void Escape(Token* token) {
    const size_t begin = at_ - 1;
    const char c = Peek();
    ++at_;
    switch (c) {
      case 'n': token->text.push_back('\n'); return;
      case 't': token->text.push_back('\t'); return;
      case 'r': token->text.push_back('\r'); return;
      case '0': token->text.push_back('\0'); return;
      case '\\': case '"': case '\'': token->text.push_back(c); return;
      case 'x': {
        const int high = HexDigit(Peek()), low = high < 0 ? -1 : HexDigit(Peek(1));
        if (low < 0) break;
        at_ += 2;
        token->text.push_back(static_cast<char>(high * 16 + low));
        return;
      }
      default: break;
    }
    at_ = std::min(at_, text_.size());
    Fail(begin, "an unknown escape; known are \\n \\t \\r \\0 \\\\ \\\" \\' and \\xHH");
  }

  void Symbol(Token* token) {
    static constexpr std::string_view symbols[] = {">=", "<=", "==", "!=", ">", "<", "=", "(", ")", "[", "]", ","};
    static constexpr std::pair<std::string_view, std::string_view> others[] = {
        {"&&", "and"}, {"&", "and"}, {"||", "or"}, {"|", "or"}, {"!", "not"}};
    token->kind = TokenKind::kSymbol;
    const std::string_view rest = text_.substr(at_);
    for (std::string_view s : symbols) {
      if (rest.substr(0, s.size()) != s) continue;
      at_ += s.size();
      token->text = std::string(s);
      return;
    }
    for (const auto& [sign, word] : others) {
      if (rest.substr(0, sign.size()) != sign) continue;
      at_ += sign.size();
      Fail(token->begin, "write `" + std::string(word) + "` for " + std::string(sign));
    }
    ++at_;
    while (at_ < text_.size() && (text_[at_] & 0xc0) == 0x80) ++at_;
    Fail(token->begin, "a character that means nothing here");
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

void FailAt(std::string_view expression, size_t begin, size_t end, const std::string& what, ErrorCode code) {
  FailUnder("--where", expression, begin, end, what, code);
}

std::vector<Token> TokenizeWhere(std::string_view expression) { return Lexer(expression).Run(); }

}  // namespace monolith
