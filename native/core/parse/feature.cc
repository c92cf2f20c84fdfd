// Features of Example and ExampleBatch into columns.
#include <algorithm>

#include "core/parse/plan.h"

namespace monolith {
namespace {

namespace member = schema::feature;

// What a float list that is there but empty gives: the smallest normal float32, in data and models that exist.
constexpr float kEmptyFloat = std::numeric_limits<float>::min();

[[noreturn]] void Fail(const std::string& name, const std::string& what) {
  throw BadRecord("feature " + name + ": " + what);
}

const char* MemberName(uint32_t number) {
  static constexpr const char* names[] = {"", "fid_v1_list", "fid_v2_list", "float_list", "double_list", "int64_list", "bytes_list"};
  return names[number];
}

bool IsPlainList(uint32_t number) { return number >= member::kFidV1List && number <= member::kBytesList; }

}  // namespace

void ParseRun::AppendSparse(const FeatureValue& value, const std::string& name, SparseColumn* to) {
  switch (value.number) {
    case member::kFidV1List:
      ForEachFixedRun<8>(value.bytes, schema::kListValue, origin_, [&](std::string_view run) { AppendV1(run, &to->values); });
      return;
    case member::kFidV2List:
      ForEachFixedRun<8>(value.bytes, schema::kListValue, origin_, [&](std::string_view run) { AppendV2(run, &to->values); });
      return;
    default:
      if (IsPlainList(value.number)) Fail(name, std::string("holds ") + MemberName(value.number) + ", wanted are fids");
  }
}

void ParseRun::ClearDense(DenseColumn* to, size_t row) {
  const size_t width = static_cast<size_t>(to->width), at = row * width;
  switch (to->type) {
    case ColumnType::kFloat: std::fill_n(to->floats.begin() + at, width, 0.0f); return;
    case ColumnType::kInt64: std::fill_n(to->ints.begin() + at, width, 0); return;
    case ColumnType::kString: std::fill_n(to->strings.begin() + at, width, std::string_view()); return;
  }
}

void ParseRun::FillDense(const FeatureValue& value, const std::string& name, DenseColumn* to, size_t row) {
  if (!IsPlainList(value.number)) return;
  const size_t width = static_cast<size_t>(to->width), at = row * width;
  size_t n = 0;
  const auto mismatch = [&](const char* wanted) {
    Fail(name, std::string("holds ") + MemberName(value.number) + ", wanted are " + wanted);
  };
  switch (to->type) {
    case ColumnType::kFloat: {
      float* floats = &to->floats[at];
      if (value.number == member::kFloatList) {
        ForEachFixedRun<4>(value.bytes, schema::kListValue, origin_, [&](std::string_view run) {
          const size_t m = std::min(run.size() / 4, width - n);
          if (m) std::memcpy(floats + n, run.data(), m * 4);
          n += m;
        });
      } else if (value.number == member::kDoubleList) {
        ForEachFixedRun<8>(value.bytes, schema::kListValue, origin_, [&](std::string_view run) {
          for (size_t i = 0; i < run.size() && n < width; i += 8)
            floats[n++] = static_cast<float>(LoadLe<double>(run.data() + i));
        });
      } else {
        mismatch("floats");
      }
      if (n == 0 && width == 1) floats[0] = kEmptyFloat;
      return;
    }
    case ColumnType::kInt64:
      if (value.number != member::kInt64List) mismatch("int64");
      ForEachVarintOf(value.bytes, schema::kListValue, origin_, [&](uint64_t v) {
        if (n < width) to->ints[at + n++] = static_cast<int64_t>(v);
      });
      break;
    case ColumnType::kString:
      if (value.number != member::kBytesList) mismatch("strings");
      ForEachBytesOf(value.bytes, schema::kListValue, origin_, [&](std::string_view v) {
        if (n < width) to->strings[at + n++] = v;
      });
      break;
  }
  if (n == 0 && width == 1) Fail(name, std::string("an empty ") + MemberName(value.number));
}

void ParseRun::TakeLineId(const FeatureValue& value) {
  std::string_view first;
  if (value.number == member::kBytesList)
    ForEachBytesOf(value.bytes, schema::kListValue, origin_, [&](std::string_view bytes) {
      if (!first.data()) first = bytes;
    });
  if (!first.data()) Fail(schema::kLineIdName, "has no bytes");
  line_id_.Reset();
  line_id_.Merge(first, origin_);
}

void ParseRun::TakeLabels(const FeatureValue& value) {
  if (value.number != member::kFloatList) return;
  labels_.clear();
  ForEachFixedRun<4>(value.bytes, schema::kListValue, origin_, [&](std::string_view run) { AddLabels(run); });
}

}  // namespace monolith
