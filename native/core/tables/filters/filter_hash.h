// Where the filters keep an id. Filter files hold cells by position, so they are bound to these two functions: another one
// needs other files.
#pragma once

#include <cstdint>

namespace monolith {

// The finalizer of MurmurHash3. Fixed, so that a file is found again in another process; the metadata of a filter file has no
// field that could name it.
inline uint64_t FilterHash(int64_t id) {
  uint64_t h = static_cast<uint64_t>(id);
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccd;
  h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53;
  return h ^ (h >> 33);
}

// What tells ids at one position apart. Ids below 2^17 of a slot all have 0 (spec 30, 8.2): two of them whose positions run into
// each other are counted as one.
inline uint16_t FilterSignature(int64_t id) { return static_cast<uint16_t>(static_cast<uint64_t>(id) >> 17 & 0xfff); }

}  // namespace monolith
