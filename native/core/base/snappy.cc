#include "core/base/snappy.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith {
namespace {

constexpr size_t kBlock = 1 << 16;  // matches never reach over a block, so that an offset fits two bytes
constexpr int kHashBits = 14;

[[noreturn]] void Fail(const char* what) { throw Error(ErrorCode::kBadData, std::string("bad snappy data: ") + what); }

uint32_t Hash(uint32_t v) { return (v * 0x1e35a7bdu) >> (32 - kHashBits); }

void EmitLiteral(const char* p, size_t n, std::string* out) {
  if (n == 0) return;
  const size_t code = n - 1;
  if (code < 60) {
    out->push_back(static_cast<char>(code << 2));
  } else {
    const int bytes = code < (1u << 8) ? 1 : code < (1u << 16) ? 2 : code < (1u << 24) ? 3 : 4;
    out->push_back(static_cast<char>((59 + bytes) << 2));
    for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(code >> (8 * i)));
  }
  out->append(p, n);
}

void EmitCopyTwo(size_t offset, size_t n, std::string* out) {
  out->push_back(static_cast<char>((n - 1) << 2 | 2));
  out->push_back(static_cast<char>(offset));
  out->push_back(static_cast<char>(offset >> 8));
}

void EmitCopy(size_t offset, size_t n, std::string* out) {
  // Pieces of 64 while at least four bytes, the shortest copy, remain behind them.
  for (; n >= 68; n -= 64) EmitCopyTwo(offset, 64, out);
  if (n > 64) {
    EmitCopyTwo(offset, 60, out);
    n -= 60;
  }
  if (n < 12 && offset < 2048) {
    out->push_back(static_cast<char>((offset >> 8) << 5 | (n - 4) << 2 | 1));
    out->push_back(static_cast<char>(offset));
  } else {
    EmitCopyTwo(offset, n, out);
  }
}

size_t MatchLength(const char* a, const char* b, const char* end) {
  const char* start = b;
  while (end - b >= 8) {
    const uint64_t diff = LoadLe<uint64_t>(a) ^ LoadLe<uint64_t>(b);
    if (diff) return static_cast<size_t>(b - start) + static_cast<size_t>(__builtin_ctzll(diff) >> 3);
    a += 8;
    b += 8;
  }
  while (b < end && *a == *b) ++a, ++b;
  return static_cast<size_t>(b - start);
}

void CompressBlock(const char* begin, const char* end, uint16_t* table, std::string* out) {
  std::fill(table, table + (1 << kHashBits), uint16_t{0});
  const char* literal = begin;
  const char* p = begin + 1;
  uint32_t misses = 32;  // steps grow where nothing matches, so that noise passes quickly
  while (end - p >= 8) {
    const uint32_t v = LoadLe<uint32_t>(p);
    const uint32_t h = Hash(v);
    const char* candidate = begin + table[h];
    table[h] = static_cast<uint16_t>(p - begin);
    if (candidate >= p || LoadLe<uint32_t>(candidate) != v) {
      p += misses++ >> 5;
      continue;
    }
    EmitLiteral(literal, static_cast<size_t>(p - literal), out);
    const size_t n = 4 + MatchLength(candidate + 4, p + 4, end);
    EmitCopy(static_cast<size_t>(p - candidate), n, out);
    p += n;
    literal = p;
    misses = 32;
  }
  EmitLiteral(literal, static_cast<size_t>(end - literal), out);
}

// The stated length; *p moves behind it.
uint64_t ReadLength(const char** p, const char* end) {
  uint64_t length = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    if (*p == end) Fail("no length");
    const uint8_t b = static_cast<uint8_t>(*(*p)++);
    length |= static_cast<uint64_t>(b & 0x7f) << shift;
    if (b < 0x80) {
      if (length > UINT32_MAX) Fail("the length does not fit 32 bits");
      // Three bytes give at most 64, so that garbage cannot ask for memory out of all proportion.
      if (length > static_cast<uint64_t>(end - *p) * 22) Fail("the stated length is more than the block can hold");
      return length;
    }
  }
  Fail("the length does not fit 32 bits");
}

void CopyBack(char* to, size_t offset, size_t n) {
  const char* from = to - offset;
  if (offset >= n) {
    std::memcpy(to, from, n);
  } else {
    for (size_t i = 0; i < n; ++i) to[i] = from[i];  // the copy reads what it writes
  }
}

}  // namespace

namespace {

void BeginBlock(std::string_view in, std::string* out) {
  if (in.size() > UINT32_MAX) throw Error(ErrorCode::kUsage, "snappy blocks hold less than 4 GiB");
  out->clear();
  out->reserve(32 + in.size() + in.size() / 6);
  uint64_t n = in.size();
  for (; n >= 0x80; n >>= 7) out->push_back(static_cast<char>(n | 0x80));
  out->push_back(static_cast<char>(n));
}

}  // namespace

void SnappyStore(std::string_view in, std::string* out) {
  BeginBlock(in, out);
  EmitLiteral(in.data(), in.size(), out);
}

void SnappyCompress(std::string_view in, std::string* out) {
  BeginBlock(in, out);
  std::vector<uint16_t> table(1 << kHashBits);
  for (size_t at = 0; at < in.size(); at += kBlock) {
    const char* begin = in.data() + at;
    CompressBlock(begin, begin + std::min(kBlock, in.size() - at), table.data(), out);
  }
}

uint64_t SnappyUncompressedLength(std::string_view in) {
  const char* p = in.data();
  return ReadLength(&p, p + in.size());
}

void SnappyDecompress(std::string_view in, std::string* out, size_t max) {
  const uint64_t length = SnappyUncompressedLength(in);
  if (length > max) Fail("the block is longer than allowed");
  out->resize(length);
  SnappyDecompressTo(in, out->data());
}

void SnappyDecompressTo(std::string_view in, char* to) {
  const char* p = in.data();
  const char* const end = p + in.size();
  const uint64_t length = ReadLength(&p, end);
  char* const begin = to;
  char* const to_end = to + length;
  while (p < end) {
    const uint8_t tag = static_cast<uint8_t>(*p++);
    if ((tag & 3) == 0) {
      uint64_t n = (tag >> 2) + 1u;
      if (n > 60) {
        const size_t bytes = n - 60;
        if (static_cast<size_t>(end - p) < bytes) Fail("cut short");
        n = 0;
        for (size_t i = 0; i < bytes; ++i) n |= static_cast<uint64_t>(static_cast<uint8_t>(p[i])) << (8 * i);
        p += bytes;
        ++n;
      }
      if (n > static_cast<uint64_t>(end - p)) Fail("cut short");
      if (n > static_cast<uint64_t>(to_end - to)) Fail("more content than stated");
      std::memcpy(to, p, n);
      p += n;
      to += n;
      continue;
    }
    const size_t extra = (tag & 3) == 1 ? 1 : (tag & 3) == 2 ? 2 : 4;
    if (static_cast<size_t>(end - p) < extra) Fail("cut short");
    size_t n = (tag >> 2) + 1u, offset = 0;
    if (extra == 1) {
      n = ((tag >> 2) & 7) + 4u;
      offset = static_cast<size_t>(tag >> 5) << 8 | static_cast<uint8_t>(*p);
    } else {
      offset = extra == 2 ? LoadLe<uint16_t>(p) : LoadLe<uint32_t>(p);
    }
    p += extra;
    if (offset == 0 || offset > static_cast<size_t>(to - begin)) Fail("a copy from before the beginning");
    if (n > static_cast<size_t>(to_end - to)) Fail("more content than stated");
    CopyBack(to, offset, n);
    to += n;
  }
  if (to != to_end) Fail("less content than stated");
}

}  // namespace monolith
