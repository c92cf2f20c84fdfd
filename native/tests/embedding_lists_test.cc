// Where lists of embeddings lie, in every form, and sizes that do not fit.
#include "core/layouts/embedding_lists.h"

#include <string>

#include "core/base/error.h"
#include "tests/check.h"

using namespace monolith;
using namespace monolith::layouts;

namespace {

// t1: a of 3 floats, b of 2; t2: c of 2.
LayoutPlan Plan() {
  LayoutPlan plan;
  plan.tables = {"t1", "t2"};
  plan.features = {{"a", 0, Pooling::kSum, 0, 3}, {"b", 0, Pooling::kSum, 0, 2}, {"c", 1, Pooling::kSum, 0, 2}};
  return plan;
}

std::string Text(const std::vector<ListPlace>& places) {
  std::string out;
  for (const ListPlace& p : places)
    out += std::to_string(p.tensor) + ":" + std::to_string(p.begin) + "+" + std::to_string(p.size) + "/" + std::to_string(p.stride) + " ";
  return out;
}

std::string ErrorOf(OffsetForm form, std::vector<TensorSize> tensors, ListSizes sizes) {
  try {
    PlaceLists(Plan(), 2, form, tensors, sizes);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST(every_form_places_its_lists) {
  const LayoutPlan plan = Plan();
  CHECK_EQ(Text(PlaceLists(plan, 2, OffsetForm::kFloats, {{8}, {0}, {2}, {4}}, {})), "0:0+8/1 1:0+0/1 2:0+2/1 3:0+4/1 ");
  CHECK_EQ(Text(PlaceLists(plan, 2, OffsetForm::kRows, {{2, 3}, {0, 3}, {1, 2}, {2, 4}}, {})), "0:0+6/3 1:0+0/3 2:0+2/2 3:0+8/4 ");
  const ListSizes splits{{{0, 2, 3}, {0, 0, 0}, {0, 1}, {0, 2}}, {}};
  CHECK_EQ(Text(PlaceLists(plan, 2, OffsetForm::kFeatureRows, {{8}, {0}, {2}, {4}}, splits)),
           "0:0+6/3 0:6+2/2 1:0+0/3 1:0+0/2 2:0+2/2 3:0+4/2 ");
  // Server 0: t1 8, t2 2; server 1: t1 0, t2 4.
  CHECK_EQ(Text(PlaceLists(plan, 2, OffsetForm::kFlatFloats, {{14}}, {{}, {8, 2, 0, 4}})), "0:0+8/1 0:10+0/1 0:8+2/1 0:10+4/1 ");
}

TEST(sizes_that_do_not_fit_name_table_server_and_argument) {
  const auto rows = OffsetForm::kRows, features = OffsetForm::kFeatureRows, flat = OffsetForm::kFlatFloats;
  const std::vector<TensorSize> floats{{8}, {0}, {2}, {4}};
  CHECK_EQ(ErrorOf(rows, {{2, 3}, {1, 2}, {1, 2}, {1, 2}}, {}), "table 't1', server 1: embeddings_list has 2 columns, but feature 'a' takes 3");
  CHECK_EQ(ErrorOf(rows, {{0, int64_t{1} << 40}, {0, 3}, {0, 2}, {0, 2}}, {}),
           "table 't1', server 0: embeddings_list has 1099511627776 columns, which is too many");
  CHECK_EQ(ErrorOf(rows, {{2, 3}}, {}), "embeddings_list has 1 tensors, not 4");
  CHECK_EQ(ErrorOf(features, floats, {}), "fid_list_row_splits has 0 tensors, but embeddings_list 4");
  const auto with = [&](std::vector<int64_t> splits) { return ErrorOf(features, floats, {{splits, {0, 0, 0}, {0, 1}, {0, 2}}, {}}); };
  CHECK_EQ(with({0, 2, 3}), "");
  CHECK_EQ(with({}), "table 't1', server 0: fid_list_row_splits has 0 entries, but its 2 features need one more than they are");
  CHECK_EQ(with({1, 2, 3}), "table 't1', server 0: fid_list_row_splits must begin with 0");
  CHECK_EQ(with({0, 2, 1}), "table 't1', server 0: fid_list_row_splits must not fall");
  CHECK_EQ(with({0, 2, 4}), "table 't1', server 0: fid_list_row_splits counts 2 rows of feature 'b', which embeddings_list with its 8 floats does not have");
  CHECK_EQ(with({0, int64_t{1} << 62, int64_t{1} << 62}).find("table 't1', server 0: fid_list_row_splits counts 4611686018427387904 rows"), size_t{0});
  CHECK_EQ(with({0, 2, 2}), "table 't1', server 0: embeddings_list has 8 floats, but fid_list_row_splits counts 6");
  CHECK_EQ(ErrorOf(flat, {{14}}, {{}, {8, 2, 0}}), "fid_list_emb_row_length has 3 entries, but 2 tables on 2 servers make 4 lists");
  CHECK_EQ(ErrorOf(flat, {{14}}, {{}, {8, 2, -1, 5}}), "table 't1', server 1: fid_list_emb_row_length is -1");
  CHECK_EQ(ErrorOf(flat, {{14}}, {{}, {8, 2, 0, 5}}), "embeddings_list has 14 floats, but fid_list_emb_row_length counts 15");
}
