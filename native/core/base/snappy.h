// Raw snappy blocks, as inside Hadoop files and table files: no stream framing, no checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace monolith {

// Replaces *out with the compressed form.
void SnappyCompress(std::string_view in, std::string* out);

// The same without looking for repetitions: the content as it is, in the form of a block.
void SnappyStore(std::string_view in, std::string* out);

// Replaces *out. Throws Error(kBadData) on anything that is not one whole block, or holds more than `max` bytes.
void SnappyDecompress(std::string_view in, std::string* out, size_t max = size_t{1} << 30);

// Writes the content to `to`, which has room for SnappyUncompressedLength(in) bytes. Throws Error(kBadData).
void SnappyDecompressTo(std::string_view in, char* to);

// Length of the content as the block states it. Throws Error(kBadData); never more than the block could hold.
uint64_t SnappyUncompressedLength(std::string_view in);

}  // namespace monolith
