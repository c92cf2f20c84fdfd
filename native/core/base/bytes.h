// Little- and big-endian loads and stores on unaligned memory.
#pragma once

#include <cstdint>
#include <cstring>

namespace monolith {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the core is written for little-endian machines");

template <class T>
inline T LoadLe(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
inline void StoreLe(void* p, T v) {
  std::memcpy(p, &v, sizeof v);
}

inline uint32_t LoadBe32(const void* p) { return __builtin_bswap32(LoadLe<uint32_t>(p)); }
inline void StoreBe32(void* p, uint32_t v) { StoreLe(p, __builtin_bswap32(v)); }

}  // namespace monolith
