#include "core/tables/filters/filter_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/tables/record_file.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Type;

struct SlidingField {
  uint32_t number;
  const char* name;
  uint64_t SlidingMeta::*value;
};
constexpr SlidingField kSlidingFields[] = {
    {1, "split_num", &SlidingMeta::split_num},
    {2, "max_forward_step", &SlidingMeta::max_forward_step},
    {3, "max_backward_step", &SlidingMeta::max_backward_step},
    {4, "max_step", &SlidingMeta::max_step},
    {5, "head", &SlidingMeta::head},
    {6, "head_increment", &SlidingMeta::head_increment},
    {7, "failure_count", &SlidingMeta::failure_count},
};
constexpr int kMustAgree = 4;  // the first of them: the others are what the filter counts

uint64_t VarintOf(const Field& f) {
  if (f.type != Type::kVarint) throw BadRecord("field " + std::to_string(f.number) + " has the wrong wire type");
  return f.scalar;
}

// What a record's content throws becomes an error with file and offset.
template <class Body>
auto AtRecord(const RecordFileReader& reader, Body body) {
  try {
    return body();
  } catch (const BadRecord& e) {
    throw Error(ErrorCode::kBadData, reader.Where() + ": " + e.what());
  }
}

// Most cells are empty: two bytes each, which compilers turn into wide stores.
void AppendCells(const uint16_t* cells, size_t n, std::string* out) {
  const size_t before = out->size();
  out->resize(before + 4 * n);
  char* p = out->data() + before;
  for (size_t i = 0; i < n; ++i) {
    uint32_t v = cells[i];
    *p++ = 2 << 3;
    for (; v >= 0x80; v >>= 7) *p++ = static_cast<char>(v | 0x80);
    *p++ = static_cast<char>(v);
  }
  out->resize(static_cast<size_t>(p - out->data()));
}

}  // namespace

void EncodeSplitMeta(const SplitMeta& meta, std::string* out) {
  std::string sliding;
  wire::Writer inner(&sliding);
  for (const SlidingField& f : kSlidingFields) inner.Varint(f.number, meta.sliding.*f.value);
  wire::Writer w(out);
  w.Varint(1, meta.failure_count);
  w.Varint(2, meta.total_size);
  w.Varint(3, meta.num_elements);
  w.Double(4, meta.fill_rate);
  w.Bytes(5, sliding);
}

SplitMeta DecodeSplitMeta(std::string_view message) {
  SplitMeta meta;
  bool has_sliding = false;
  Field f;
  for (wire::Reader r(message); r.Next(&f);) {
    if (f.number == 1) meta.failure_count = VarintOf(f);
    if (f.number == 2) meta.total_size = VarintOf(f);
    if (f.number == 3) meta.num_elements = VarintOf(f);
    if (f.number == 4 && f.type == Type::kFixed64) meta.fill_rate = f.AsDouble();
    if (f.number != 5) continue;
    if (f.type != Type::kBytes) throw BadRecord("field 5 has the wrong wire type");
    has_sliding = true;
    Field g;
    for (wire::Reader inner(f.bytes); inner.Next(&g);)
      for (const SlidingField& known : kSlidingFields)
        if (known.number == g.number) meta.sliding.*known.value = VarintOf(g);
  }
  if (!has_sliding) throw BadRecord("this is no metadata of a sliding filter");
  return meta;
}

void EncodeCells(const uint16_t* cells, size_t first, size_t n, std::string* out) {
  wire::Writer w(out);
  w.Varint(1, first);
  AppendCells(cells + first, n, out);
}

size_t DecodeCells(std::string_view message, size_t first, CountingCells* cells) {
  size_t n = 0;
  const auto set = [&](uint64_t v) {
    if (v > UINT16_MAX) throw BadRecord("a cell of " + std::to_string(v) + " does not fit into 16 bits");
    if (first + n == cells->size()) throw BadRecord("there are more cells than the metadata tells of, " + std::to_string(cells->size()));
    if (v) cells->Store(first + n, static_cast<uint16_t>(v));  // an empty one is so already, without memory
    ++n;
  };
  uint64_t offset = 0;
  Field f;
  for (wire::Reader r(message); r.Next(&f);) {
    if (f.number == 1) offset = VarintOf(f);
    if (f.number == 2) wire::ForEachVarint(f, set);
  }
  if (offset != first)
    throw BadRecord("its cells begin at " + std::to_string(offset) + ", those before it end at " + std::to_string(first));
  if (n == 0) throw BadRecord("a record without cells");
  return n;
}

void WriteSplit(const CountingSplit& split, const SlidingMeta& sliding, const std::string& path) {
  RecordFileWriter out(path, Container::kPlain);
  SplitMeta meta;
  meta.failure_count = split.failure_count.load(std::memory_order_relaxed);
  meta.total_size = split.cells.total_size();
  meta.num_elements = split.Elements();
  meta.fill_rate = split.fill_rate;
  meta.sliding = sliding;
  std::string message;
  EncodeSplitMeta(meta, &message);
  out.Write(message);
  for (size_t first = 0; first < split.cells.size(); first += kCellsPerRecord) {
    message.clear();
    EncodeCells(split.cells.data(), first, std::min(kCellsPerRecord, split.cells.size() - first), &message);
    out.Write(message);
  }
  out.Finish();
  out.Sync();
}

std::unique_ptr<CountingSplit> ReadSplit(const std::string& path, uint64_t capacity, const SlidingMeta& live, SlidingMeta* sliding) {
  RecordFileReader reader(path, Container::kPlain);
  std::string_view message;
  if (!reader.Next(&message)) throw Error(ErrorCode::kBadData, path + ": at byte 0: a split of a filter has no records");
  const SplitMeta meta = AtRecord(reader, [&] { return DecodeSplitMeta(message); });
  for (int i = 0; i < kMustAgree; ++i) {
    const SlidingField& f = kSlidingFields[i];
    if (meta.sliding.*f.value != live.*f.value)
      throw Error(ErrorCode::kConfig, path + ": it was saved by a filter whose " + f.name + " was " + std::to_string(meta.sliding.*f.value) +
                                          ", but is now " + std::to_string(live.*f.value) +
                                          "; set filter_split_num as it was, or remove the files to start counting anew");
  }
  struct stat st;
  const uint64_t bytes = stat(path.c_str(), &st) == 0 ? static_cast<uint64_t>(st.st_size) : 0;
  auto split = AtRecord(reader, [&] {
    // Every cell takes two bytes or more: nothing larger than the file is asked of the memory.
    if (meta.total_size == 0 || meta.total_size > bytes / 2)
      throw BadRecord("a total_size of " + std::to_string(meta.total_size) + " does not fit a file of " + std::to_string(bytes) + " bytes");
    if (meta.sliding.head >= live.split_num)
      throw BadRecord("the newest of " + std::to_string(live.split_num) + " splits cannot be number " + std::to_string(meta.sliding.head));
    return std::make_unique<CountingSplit>(capacity, meta.fill_rate, CountingCells(meta.total_size));
  });
  split->num_elements.store(meta.num_elements, std::memory_order_relaxed);
  split->failure_count.store(meta.failure_count, std::memory_order_relaxed);
  size_t cells = 0;
  while (reader.Next(&message)) AtRecord(reader, [&] { cells += DecodeCells(message, cells, &split->cells); });
  if (cells != split->cells.size())
    throw Error(ErrorCode::kBadData, reader.Where() + ": the file ends after " + std::to_string(cells) + " of " +
                                         std::to_string(split->cells.size()) + " cells");
  *sliding = meta.sliding;
  return split;
}

}  // namespace monolith
