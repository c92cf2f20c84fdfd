// A table's config and one entry of its checkpoint: two bytes with the length of the config, the config, the entry. What is taken
// must work: the entry is decoded, put into a row and read, whatever the compressors and optimizers.
#include <cmath>
#include <cstdlib>
#include <vector>

#include "core/base/error.h"
#include "core/tables/entry_codec.h"
#include "core/tables/optimizer.h"

using namespace monolith;

namespace {

constexpr int kMaxDim = 512;

bool Decoded(std::string_view config, TableConfig* c) {
  try {
    *c = DecodeTableConfig("t", config);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kConfig || std::string_view(e.what()).substr(0, 9) != "table 't'") std::abort();
    return false;
  }
  return c->dim() <= kMaxDim;
}

void UseRow(const RowPlan& plan, const std::vector<float>& floats) {
  const size_t dim = static_cast<size_t>(plan.dim());
  // One byte off, as the rows of a serving table may lie; a training row lies where floats may.
  std::vector<char> bytes(plan.row_bytes() + 4);
  char* row = bytes.data() + (plan.serving() ? 1 : 0);
  std::vector<float> out(dim), again(static_cast<size_t>(plan.row_floats()));
  plan.Put(floats.data(), row);
  plan.Fill(row, out.data());
  plan.Get(row, again.data());
  if (plan.serving() && std::memcmp(out.data(), again.data(), dim * sizeof(float)) != 0) std::abort();
  plan.AssignAdd(floats.data(), row);
  plan.Assign(floats.data(), row);
  if (plan.serving()) return;
  std::vector<float> rates(plan.segments().size(), 0.1f), scratch(dim);
  for (int64_t step : {int64_t{0}, int64_t{1} << 40})
    plan.Step(7, row, floats.data(), plan.StartSteps(rates.data(), 1, step, scratch.data()));
  plan.Fill(row, out.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t length = std::min<size_t>(all.size(), data[0] + 256u * data[1]);
  TableConfig config;
  if (!Decoded(all.substr(0, length), &config)) return 0;
  const RowPlan plan(config);
  const EntryCodec codec("t", plan);
  std::vector<float> floats(static_cast<size_t>(plan.row_floats()), 0.5f);
  try {
    codec.Decode(all.substr(length), floats.data());
  } catch (const Error&) {
    return 0;
  }
  UseRow(plan, floats);
  return 0;
}
