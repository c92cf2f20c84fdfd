#include "core/tables/table.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/tables/encoded_rows.h"
#include "core/tables/filters/occurrence_gate.h"
#include "core/tables/pipeline.h"
#include "core/tables/row_copy.h"
#include "core/tables/table_impl.h"

namespace monolith {
namespace {

using Impl = EmbeddingTable::Impl;

// Keys in one section: the longest that growth waits for readers to free memory.
constexpr size_t kSectionKeys = 4096;

// Reads keys [begin, n) of a batch; on_done(i, found) follows every key. kDim = 0: any length. A directory that is replaced
// meanwhile stays good to read: rows that were copied stay as they were, and so do those of a cleared table.
template <int kDim, class Done>
void ReadSome(const Impl& impl, const Directory& d, const int64_t* keys, size_t begin, size_t n, float* out, Done on_done) {
  const size_t dim = kDim ? kDim : static_cast<size_t>(impl.plan.dim());
  constexpr size_t kBlock = Pipeline::BlockFor(kDim ? kDim * sizeof(float) : 128);
  Pipeline(d, impl.layout, dim * sizeof(float)).Run<false, kBlock>(keys, begin, n, [&](size_t i, const Pending& p) {
    if (p.row) CopyWhole<kDim * sizeof(float)>(impl.locks, p.row, out + i * dim, dim * sizeof(float));
    on_done(i, p.row != nullptr);
    return true;
  });
}

// The same for rows that are not the floats a lookup gives: a copy of the row, then what stands for it.
template <class Done>
void ReadEncoded(const Impl& impl, const Directory& d, const int64_t* keys, size_t begin, size_t n, float* out, Done on_done) {
  const size_t dim = static_cast<size_t>(impl.plan.dim()), bytes = impl.plan.lookup_bytes();
  RowBuffer copy(bytes);
  Pipeline(d, impl.layout, bytes).Run<false, Pipeline::BlockFor(64)>(keys, begin, n, [&](size_t i, const Pending& p) {
    if (p.row) {
      CopyWhole<0>(impl.locks, p.row, copy.data(), bytes);
      impl.plan.Fill(copy.data(), out + i * dim);
    }
    on_done(i, p.row != nullptr);
    return true;
  });
}

template <class Done>
void ReadAll(Impl& impl, const int64_t* keys, size_t n, float* out, Done on_done) {
  for (size_t begin = 0; begin < n; begin += kSectionKeys) {
    const size_t end = std::min(n, begin + kSectionKeys);
    Impl::ReadSection section(impl);
    const Directory& d = section.directory();
    if (!impl.plan.raw()) {
      ReadEncoded(impl, d, keys, begin, end, out, on_done);
      continue;
    }
    switch (impl.plan.dim()) {
      case 1: ReadSome<1>(impl, d, keys, begin, end, out, on_done); break;
      case 8: ReadSome<8>(impl, d, keys, begin, end, out, on_done); break;
      case 16: ReadSome<16>(impl, d, keys, begin, end, out, on_done); break;
      case 32: ReadSome<32>(impl, d, keys, begin, end, out, on_done); break;
      case 64: ReadSome<64>(impl, d, keys, begin, end, out, on_done); break;
      default: ReadSome<0>(impl, d, keys, begin, end, out, on_done);
    }
  }
}

const TableConfig& Validated(const TableConfig& config) {
  ValidateTableConfig(config);
  return config;
}

}  // namespace

EmbeddingTable::EmbeddingTable(const TableConfig& config)
    : dim_(Validated(config).dim()), impl_(std::make_unique<Impl>(config)) {}
EmbeddingTable::~EmbeddingTable() = default;

const TableConfig& EmbeddingTable::config() const { return impl_->config; }
const RowPlan& EmbeddingTable::plan() const { return impl_->plan; }
uint32_t EmbeddingTable::max_update_ts() const { return impl_->max_update_ts.load(std::memory_order_relaxed); }

void EmbeddingTable::RaiseMaxUpdateTs(uint32_t ts) {
  uint32_t seen = max_update_ts();
  while (seen < ts && !impl_->max_update_ts.compare_exchange_weak(seen, ts, std::memory_order_relaxed)) {
  }
}

size_t EmbeddingTable::size() const {
  Impl::ReadSection section(*impl_);
  size_t n = 0;
  for (const auto& s : section.directory().segments()) n += s->rows().count.load(std::memory_order_relaxed);
  return n;
}

size_t EmbeddingTable::memory_bytes() const {
  Impl::ReadSection section(*impl_);
  const size_t changes = impl_->tracks_changes ? IdSet::Bytes(impl_->layout.max_ids()) : 0;
  size_t n = sizeof(Impl);
  for (const auto& s : section.directory().segments()) n += s->memory_bytes() + s->rows().memory_bytes() + changes;
  return n;
}

size_t EmbeddingTable::Lookup(const int64_t* keys, size_t n, float* out) const {
  size_t hits = 0;
  const size_t dim = static_cast<size_t>(dim_);
  ReadAll(*impl_, keys, n, out, [&](size_t i, bool found) {
    if (found) ++hits;
    else std::memset(out + i * dim, 0, dim * sizeof(float));
  });
  return hits;
}

void EmbeddingTable::CopyRows(const int64_t* keys, size_t n, float* out, uint8_t* found) const {
  ReadAll(*impl_, keys, n, out, [&](size_t i, bool there) { found[i] = there; });
}

bool EmbeddingTable::Contains(int64_t key) const {
  Impl::ReadSection section(*impl_);
  const uint64_t hash = HashKey(key);
  Place place;
  return Probe(*section.directory().Of(hash), hash, &place);
}

void EmbeddingTable::Contains(const int64_t* keys, size_t n, uint8_t* found) const {
  for (size_t begin = 0; begin < n; begin += kSectionKeys) {
    Impl::ReadSection section(*impl_);
    Pipeline pipeline(section.directory(), impl_->layout, 1);
    pipeline.Run<false, Pipeline::BlockFor(1)>(keys, begin, std::min(n, begin + kSectionKeys), [&](size_t i, const Pending& p) {
      found[i] = p.row != nullptr;
      return true;
    });
  }
}

bool EmbeddingTable::GetRow(int64_t key, std::vector<float>* floats, uint32_t* timestamp) const {
  const RowPlan& plan = impl_->plan;
  floats->resize(static_cast<size_t>(plan.row_floats()));
  RowBuffer copy(plan.row_bytes());
  Impl::ReadSection section(*impl_);
  const uint64_t hash = HashKey(key);
  const Segment& segment = *section.directory().Of(hash);
  Place place;
  if (!Probe(segment, hash, &place)) return false;
  const char* row = segment.Row(place.id);
  CopyRow(impl_->locks, row, segment.Timestamp(place.id), copy.data(), plan.row_bytes(), timestamp);
  plan.Get(copy.data(), floats->data());
  return true;
}

void EmbeddingTable::Clear(size_t expected_rows) {
  Impl::Frozen frozen(impl_.get());
  Directory* empty = NewDirectory(impl_->layout, std::max<uint64_t>(impl_->config.initial_capacity, expected_rows));
  for (const auto& s : impl_->directory.load()->segments()) impl_->CaptureAll(*s);
  if (impl_->tracks_changes) {
    std::lock_guard<std::mutex> guard(impl_->erased_mutex);
    for (const auto& s : impl_->directory.load()->segments())
      s->ForEach([&](uint32_t group, int slot, RowId) { impl_->erased.push_back(KeyOfHash(s->HashAt(group, slot))); });
    for (const auto& s : empty->segments()) s->rows().TrackChanges();
  }
  impl_->Publish(empty);
}

std::pair<size_t, size_t> ShardRange(size_t total, size_t shard, size_t shards) {
  const size_t each = total / shards, rest = total % shards;
  const size_t begin = shard * each + std::min(shard, rest);
  return {begin, begin + each + (shard < rest)};
}

}  // namespace monolith
