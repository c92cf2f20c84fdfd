// Searching runs of little-endian fids, four at a time where the machine can.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace monolith {

bool ScanForFid(const char* fids, size_t n, uint64_t fid);
bool ScanForSlotV1(const char* fids, size_t n, uint32_t slot);
bool ScanForSlotV2(const char* fids, size_t n, uint32_t slot);

// A set of numbers made once and asked often. Each member has an index, 0..size()-1.
class FidSet {
 public:
  static constexpr size_t kAbsent = SIZE_MAX;
  FidSet() = default;
  explicit FidSet(std::vector<uint64_t> fids);  // doubles are dropped

  size_t size() const { return fids_.size(); }
  bool empty() const { return fids_.empty(); }
  const std::vector<uint64_t>& fids() const { return fids_; }
  size_t Find(uint64_t fid) const {
    if (fids_.empty()) return kAbsent;
    for (size_t i = Hash(fid);; i = (i + 1) & mask_) {
      if (table_[i] == 0) return kAbsent;
      if (fids_[table_[i] - 1] == fid) return table_[i] - 1;
    }
  }
  bool Contains(uint64_t fid) const { return Find(fid) != kAbsent; }
  // Whether any of the run is a member.
  bool Meets(const char* fids, size_t n) const;

 private:
  size_t Hash(uint64_t v) const { return static_cast<size_t>((v * 0x9e3779b97f4a7c15u) >> 32) & mask_; }

  std::vector<uint64_t> fids_;
  std::vector<uint32_t> table_;  // index into fids_ plus one, 0 for empty
  size_t mask_ = 0;
};

}  // namespace monolith
