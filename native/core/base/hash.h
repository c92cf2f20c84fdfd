// Hashes that data on disk depends on.
#pragma once

#include <cstdint>
#include <string_view>

namespace monolith {

// CityHash64, version 1.1, of any number of bytes.
uint64_t CityHash64(std::string_view bytes);

// Java's String.hashCode over bytes as signed chars.
int32_t JavaHash(std::string_view bytes);

// data_source_key of a data flow: what its lagrangex header yields.
inline uint32_t DataSourceKey(std::string_view flow) { return static_cast<uint32_t>(JavaHash(flow)) << 8; }

}  // namespace monolith
