#include "core/operators/fid_scan.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/fid.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace monolith {
namespace {

// Whether (fid >> shift) & mask equals `wanted` for any of them.
template <int shift, uint64_t mask>
bool Scan(const char* fids, size_t n, uint64_t wanted) {
  size_t i = 0;
#ifdef __AVX2__
  const __m256i want = _mm256_set1_epi64x(static_cast<int64_t>(wanted));
  const __m256i masks = _mm256_set1_epi64x(static_cast<int64_t>(mask));
  const auto four = [&](size_t at) {
    __m256i v = _mm256_srli_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(fids + at * 8)), shift);
    if (mask >> (63 - shift) != 1) v = _mm256_and_si256(v, masks);
    return _mm256_cmpeq_epi64(v, want);
  };
  const auto any = [&](size_t a, size_t b, size_t c, size_t d) {
    const __m256i found = _mm256_or_si256(_mm256_or_si256(four(a), four(b)), _mm256_or_si256(four(c), four(d)));
    return !_mm256_testz_si256(found, found);
  };
  // The last ones are looked at together with some before them: cheaper than a loop whose length nobody can foresee.
  if (n >= 16) {
    for (; i + 16 <= n; i += 16)
      if (any(i, i + 4, i + 8, i + 12)) return true;
    return any(n - 16, n - 12, n - 8, n - 4);
  }
  if (n >= 4) return any(0, std::min<size_t>(4, n - 4), std::min<size_t>(8, n - 4), n - 4);
#endif
  for (; i < n; ++i)
    if (((LoadLe<uint64_t>(fids + i * 8) >> shift) & mask) == wanted) return true;
  return false;
}

constexpr size_t kScanEach = 4;  // sets up to this size are searched by one scan a member

}  // namespace

bool ScanForFid(const char* fids, size_t n, uint64_t fid) { return Scan<0, ~uint64_t{0}>(fids, n, fid); }

bool ScanForSlotV1(const char* fids, size_t n, uint32_t slot) {
  return Scan<fid::kSignatureBitsV1, fid::kSlotsV1 - 1>(fids, n, slot);
}

bool ScanForSlotV2(const char* fids, size_t n, uint32_t slot) {
  return Scan<fid::kSignatureBitsV2, fid::kSlotsV2 - 1>(fids, n, slot);
}

FidSet::FidSet(std::vector<uint64_t> fids) : fids_(std::move(fids)) {
  std::sort(fids_.begin(), fids_.end());
  fids_.erase(std::unique(fids_.begin(), fids_.end()), fids_.end());
  size_t capacity = 4;
  while (capacity < fids_.size() * 2) capacity *= 2;
  table_.assign(capacity, 0);
  mask_ = capacity - 1;
  for (size_t k = 0; k < fids_.size(); ++k) {
    size_t i = Hash(fids_[k]);
    while (table_[i]) i = (i + 1) & mask_;
    table_[i] = static_cast<uint32_t>(k + 1);
  }
}

bool FidSet::Meets(const char* fids, size_t n) const {
  if (fids_.size() <= kScanEach) {
    for (uint64_t f : fids_)
      if (ScanForFid(fids, n, f)) return true;
    return false;
  }
  for (size_t i = 0; i < n; ++i)
    if (Contains(LoadLe<uint64_t>(fids + i * 8))) return true;
  return false;
}

}  // namespace monolith
