// Float columns squeezed into bytes (spec 10, section 5.7): `UE_QTZ`, then half-floats or one byte a value.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace monolith {

inline constexpr std::string_view kQuantisedMarker = "UE_QTZ";

// Whether a bytes_value holds such a column.
inline bool IsQuantised(std::string_view bytes) {
  return bytes.size() > kQuantisedMarker.size() && bytes.substr(0, kQuantisedMarker.size()) == kQuantisedMarker;
}

// An IEEE half; `corrected` adds half a unit of what truncation took away, with infinity read as 65504 before.
float HalfToFloat(uint16_t half, bool corrected);

// Number of floats behind the marker; throws BadRecord for an odd number of bytes of halves.
size_t QuantisedSize(std::string_view bytes);
// Writes QuantisedSize(bytes) floats.
void DecodeQuantised(std::string_view bytes, float* to);

}  // namespace monolith
