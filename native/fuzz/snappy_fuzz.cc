// Any bytes as a snappy block: content of the stated length, or an Error. Any bytes packed and unpacked: the same.
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "core/base/snappy.h"

using namespace monolith;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n) {
  if (n < 1) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, n - 1);
  std::string packed, plain;
  if (data[0] & 1) {
    try {
      SnappyDecompress(bytes, &plain, 1 << 20);
      if (plain.size() != SnappyUncompressedLength(bytes)) std::abort();
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kBadData) std::abort();
    }
    return 0;
  }
  // Repeated, so that short inputs reach copies over long distances and more than one block.
  std::string text;
  for (int i = 0; i < 1 + (data[0] >> 1); ++i) text += bytes;
  SnappyCompress(text, &packed);
  SnappyDecompress(packed, &plain, text.size());
  if (plain != text) std::abort();
  return 0;
}
