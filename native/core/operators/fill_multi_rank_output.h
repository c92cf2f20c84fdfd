// Appends to the labels which rank head a record belongs to (spec 20, section 14).
//
//   draw   1 when line_id.is_draw, else 0
//   chnid  line_id.chnid, cut to 32 bits, where that is 0 or 1, else 2
//   rank   line_id.rank, at most rank_num - 1; a negative one stays
#pragma once

#include <string_view>
#include <vector>

#include "core/operators/label_operator.h"

namespace monolith {

class FillMultiRankOutput : public LabelOperator {
 public:
  // `from`: draw, chnid or rank. Throws Error(kUsage) for another one, for a rank_num below 1, and for example_batch.
  FillMultiRankOutput(RecordType type, std::string_view from, int32_t rank_num);

  const char* name() const override { return "fill_multi_rank_output"; }

 private:
  enum class From { kDraw, kChnid, kRank };
  static From Parse(std::string_view from);
  void Relabel(std::vector<float>* labels) override;

  const From from_;
  const int32_t rank_num_;
  const int place_;
};

}  // namespace monolith
