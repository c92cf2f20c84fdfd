#include "core/operators/fill_multi_rank_output.h"

#include <algorithm>
#include <string>

#include "core/base/error.h"

namespace monolith {

FillMultiRankOutput::From FillMultiRankOutput::Parse(std::string_view from) {
  if (from == "draw") return From::kDraw;
  if (from == "chnid") return From::kChnid;
  if (from == "rank") return From::kRank;
  throw Error(ErrorCode::kUsage, "a rank comes from draw, chnid or rank, not from \"" + std::string(from) + "\"");
}

FillMultiRankOutput::FillMultiRankOutput(RecordType type, std::string_view from, int32_t rank_num)
    : LabelOperator(type),
      from_(Parse(from)),
      rank_num_(rank_num),
      place_(view_.WantLineId(*FindLineIdField(from_ == From::kDraw ? "is_draw" : from))) {
  if (rank_num < 1) throw Error(ErrorCode::kUsage, "there is at least one rank, not " + std::to_string(rank_num));
}

void FillMultiRankOutput::Relabel(std::vector<float>* labels) {
  int32_t rank = static_cast<int32_t>(view_.line_id().Int(place_));
  if (from_ == From::kChnid && rank != 0 && rank != 1) rank = 2;
  if (from_ == From::kRank) rank = std::min(rank, rank_num_ - 1);
  labels->push_back(static_cast<float>(rank));
}

}  // namespace monolith
