#include "core/base/hash.h"

#include <utility>

#include "core/base/bytes.h"

namespace monolith {
namespace {

constexpr uint64_t k0 = 0xc3a5c85c97cb3127, k1 = 0xb492b66fbe98f273, k2 = 0x9ae16a3b2f90404f;

uint64_t Load64(const char* p) { return LoadLe<uint64_t>(p); }
uint64_t Load32(const char* p) { return LoadLe<uint32_t>(p); }
uint64_t Rotate(uint64_t v, int n) { return v >> n | v << (64 - n); }
uint64_t ShiftMix(uint64_t v) { return v ^ v >> 47; }
uint64_t Swap(uint64_t v) { return __builtin_bswap64(v); }

uint64_t Mix(uint64_t u, uint64_t v, uint64_t mul = 0x9ddfea08eb382d69) {
  const uint64_t a = ShiftMix((u ^ v) * mul);
  return ShiftMix((v ^ a) * mul) * mul;
}

uint64_t Hash0To16(const char* s, size_t n) {
  if (n >= 8) {
    const uint64_t mul = k2 + n * 2, a = Load64(s) + k2, b = Load64(s + n - 8);
    return Mix(Rotate(b, 37) * mul + a, (Rotate(a, 25) + b) * mul, mul);
  }
  if (n >= 4) return Mix(n + (Load32(s) << 3), Load32(s + n - 4), k2 + n * 2);
  if (n == 0) return k2;
  const auto byte = [s](size_t i) { return uint32_t{static_cast<uint8_t>(s[i])}; };
  const uint32_t y = byte(0) + (byte(n >> 1) << 8), z = static_cast<uint32_t>(n) + (byte(n - 1) << 2);
  return ShiftMix(y * k2 ^ z * k0) * k2;
}

uint64_t Hash17To32(const char* s, size_t n) {
  const uint64_t mul = k2 + n * 2, a = Load64(s) * k1, b = Load64(s + 8), c = Load64(s + n - 8) * mul;
  const uint64_t d = Load64(s + n - 16) * k2;
  return Mix(Rotate(a + b, 43) + Rotate(c, 30) + d, a + Rotate(b + k2, 18) + c, mul);
}

uint64_t Hash33To64(const char* s, size_t n) {
  const uint64_t mul = k2 + n * 2, a = Load64(s) * k2, b = Load64(s + 8), c = Load64(s + n - 24);
  const uint64_t d = Load64(s + n - 32), e = Load64(s + 16) * k2, f = Load64(s + 24) * 9, g = Load64(s + n - 8);
  const uint64_t h = Load64(s + n - 16) * mul;
  const uint64_t u = Rotate(a + g, 43) + (Rotate(b, 30) + c) * 9;
  const uint64_t v = ((a + g) ^ d) + f + 1;
  const uint64_t w = Swap((u + v) * mul) + h;
  const uint64_t x = Rotate(e + f, 42) + c;
  const uint64_t y = (Swap((v + w) * mul) + g) * mul;
  const uint64_t z = e + f + c;
  const uint64_t last = Swap((x + z) * mul + y) + b;
  return ShiftMix((z + last) * mul + d + h) * mul + x;
}

using Pair = std::pair<uint64_t, uint64_t>;

Pair Weak32(const char* s, uint64_t a, uint64_t b) {
  const uint64_t w = Load64(s), x = Load64(s + 8), y = Load64(s + 16), z = Load64(s + 24);
  a += w;
  b = Rotate(b + a + z, 21);
  const uint64_t c = a;
  a += x + y;
  b += Rotate(a, 44);
  return {a + z, b + c};
}

uint64_t HashLong(const char* s, size_t n) {
  uint64_t x = Load64(s + n - 40);
  uint64_t y = Load64(s + n - 16) + Load64(s + n - 56);
  uint64_t z = Mix(Load64(s + n - 48) + n, Load64(s + n - 24));
  Pair v = Weak32(s + n - 64, n, z);
  Pair w = Weak32(s + n - 32, y + k1, x);
  x = x * k1 + Load64(s);
  for (const char* end = s + ((n - 1) & ~size_t{63}); s != end; s += 64) {
    x = Rotate(x + y + v.first + Load64(s + 8), 37) * k1;
    y = Rotate(y + v.second + Load64(s + 48), 42) * k1;
    x ^= w.second;
    y += v.first + Load64(s + 40);
    z = Rotate(z + w.first, 33) * k1;
    v = Weak32(s, v.second * k1, x + w.first);
    w = Weak32(s + 32, z + w.second, y + Load64(s + 16));
    std::swap(z, x);
  }
  return Mix(Mix(v.first, w.first) + ShiftMix(y) * k1 + z, Mix(v.second, w.second) + x);
}

}  // namespace

uint64_t CityHash64(std::string_view bytes) {
  const char* s = bytes.data();
  const size_t n = bytes.size();
  if (n <= 16) return Hash0To16(s, n);
  if (n <= 32) return Hash17To32(s, n);
  if (n <= 64) return Hash33To64(s, n);
  return HashLong(s, n);
}

int32_t JavaHash(std::string_view bytes) {
  uint32_t h = 0;
  for (const char c : bytes) h = 31 * h + static_cast<uint32_t>(static_cast<int32_t>(static_cast<signed char>(c)));
  return static_cast<int32_t>(h);
}

}  // namespace monolith
