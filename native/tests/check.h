// The few lines a native test needs: CHECK, CHECK_EQ, CHECK_THROWS and TEST; main() runs every TEST of the file.
#pragma once

#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace check {

struct Test {
  const char* name;
  void (*run)();
};
inline std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}
inline int& Failures() {
  static int failures = 0;
  return failures;
}
struct Register {
  Register(const char* name, void (*run)()) { Tests().push_back({name, run}); }
};
template <class A, class B>
void Equal(const A& a, const B& b, const char* what, const char* file, int line) {
  if (a == b) return;
  std::ostringstream s;
  s << file << ":" << line << ": " << what << ": got " << a << ", expected " << b << "\n";
  std::cerr << s.str();
  ++Failures();
}

}  // namespace check

#define TEST(name)                                      \
  static void Test_##name();                            \
  static check::Register register_##name(#name, Test_##name); \
  static void Test_##name()
#define CHECK(x)                                                              \
  do {                                                                        \
    if (!(x)) {                                                               \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);    \
      ++check::Failures();                                                    \
    }                                                                         \
  } while (0)
#define CHECK_EQ(a, b) check::Equal(a, b, #a, __FILE__, __LINE__)
#define CHECK_THROWS(x, error_code)                                                            \
  do {                                                                                         \
    bool thrown = false;                                                                       \
    try {                                                                                      \
      x;                                                                                       \
    } catch (const monolith::Error& e) {                                                       \
      thrown = e.code() == (error_code);                                                       \
      if (!thrown) std::fprintf(stderr, "%s:%d: another error: %s\n", __FILE__, __LINE__, e.what()); \
    }                                                                                          \
    CHECK(thrown);                                                                             \
  } while (0)

int main(int argc, char** argv) {
  int ran = 0;
  for (const auto& test : check::Tests()) {
    if (argc > 1 && std::string(argv[1]) != test.name) continue;
    const int before = check::Failures();
    try {
      test.run();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s: uncaught: %s\n", test.name, e.what());
      ++check::Failures();
    }
    if (check::Failures() != before) std::fprintf(stderr, "FAILED %s\n", test.name);
    ++ran;
  }
  std::printf("%d tests, %d failures\n", ran, check::Failures());
  return check::Failures() || !ran;
}
