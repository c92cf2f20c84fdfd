#include "core/layouts/embedding_lists.h"

#include <limits>
#include <string>

#include "core/base/error.h"

namespace monolith::layouts {
namespace {

std::string Where(const LayoutPlan& plan, size_t table, size_t server) {
  return "table '" + plan.tables[table] + "', server " + std::to_string(server) + ": ";
}

[[noreturn]] void Fail(const std::string& what) { throw Error(ErrorCode::kUsage, what); }

void CheckColumns(const LayoutPlan& plan, size_t table, size_t server, int64_t columns) {
  if (columns > std::numeric_limits<int32_t>::max())
    Fail(Where(plan, table, server) + "embeddings_list has " + std::to_string(columns) + " columns, which is too many");
  for (const Feature& f : plan.features)
    if (f.table == table && f.dim > columns)
      Fail(Where(plan, table, server) + "embeddings_list has " + std::to_string(columns) + " columns, but feature '" + f.name + "' takes " +
           std::to_string(f.dim));
}

void CheckSplits(const std::string& where, const std::vector<int64_t>& splits, size_t features) {
  if (splits.size() != features + 1)
    Fail(where + "fid_list_row_splits has " + std::to_string(splits.size()) + " entries, but its " + std::to_string(features) +
         " features need one more than they are");
  if (splits[0] != 0) Fail(where + "fid_list_row_splits must begin with 0");
  for (size_t i = 0; i < features; ++i)
    if (splits[i + 1] < splits[i]) Fail(where + "fid_list_row_splits must not fall");
}

// A list for each feature on each server of its table.
void PlaceFeatures(const LayoutPlan& plan, size_t table, size_t server, size_t tensor, int64_t floats, const std::vector<int64_t>& splits,
                   std::vector<ListPlace>* out) {
  std::vector<const Feature*> features;
  for (const Feature& f : plan.features)
    if (f.table == table) features.push_back(&f);
  const std::string where = Where(plan, table, server);
  CheckSplits(where, splits, features.size());
  int64_t begin = 0;
  for (size_t i = 0; i < features.size(); ++i) {
    const int64_t rows = splits[i + 1] - splits[i], dim = features[i]->dim;
    if (rows > (floats - begin) / dim)
      Fail(where + "fid_list_row_splits counts " + std::to_string(rows) + " rows of feature '" + features[i]->name +
           "', which embeddings_list with its " + std::to_string(floats) + " floats does not have");
    out->push_back({tensor, begin, rows * dim, dim});
    begin += rows * dim;
  }
  if (begin != floats)
    Fail(where + "embeddings_list has " + std::to_string(floats) + " floats, but fid_list_row_splits counts " + std::to_string(begin));
}

std::vector<ListPlace> PlaceFlat(const LayoutPlan& plan, int servers, int64_t floats, const std::vector<int32_t>& sizes) {
  const size_t lists = plan.tables.size() * static_cast<size_t>(servers);
  if (sizes.size() != lists)
    Fail("fid_list_emb_row_length has " + std::to_string(sizes.size()) + " entries, but " + std::to_string(plan.tables.size()) + " tables on " +
         std::to_string(servers) + " servers make " + std::to_string(lists) + " lists");
  std::vector<ListPlace> out(lists);
  int64_t begin = 0;
  for (size_t i = 0; i < lists; ++i) {
    const size_t table = i % plan.tables.size(), server = i / plan.tables.size();
    if (sizes[i] < 0) Fail(Where(plan, table, server) + "fid_list_emb_row_length is " + std::to_string(sizes[i]));
    out[table * static_cast<size_t>(servers) + server] = {0, begin, sizes[i], 1};
    begin += sizes[i];
  }
  if (begin != floats)
    Fail("embeddings_list has " + std::to_string(floats) + " floats, but fid_list_emb_row_length counts " + std::to_string(begin));
  return out;
}

}  // namespace

size_t NumTensors(const LayoutPlan& plan, int servers, OffsetForm form) {
  return form == OffsetForm::kFlatFloats ? 1 : plan.tables.size() * static_cast<size_t>(servers);
}

std::vector<ListPlace> PlaceLists(const LayoutPlan& plan, int servers, OffsetForm form, const std::vector<TensorSize>& tensors,
                                  const ListSizes& sizes) {
  if (tensors.size() != NumTensors(plan, servers, form))
    Fail("embeddings_list has " + std::to_string(tensors.size()) + " tensors, not " + std::to_string(NumTensors(plan, servers, form)));
  if (form == OffsetForm::kFlatFloats) return PlaceFlat(plan, servers, tensors[0].rows, sizes.floats);
  if (form == OffsetForm::kFeatureRows && sizes.row_splits.size() != tensors.size())
    Fail("fid_list_row_splits has " + std::to_string(sizes.row_splits.size()) + " tensors, but embeddings_list " +
         std::to_string(tensors.size()));
  std::vector<ListPlace> out;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t table = i / static_cast<size_t>(servers), server = i % static_cast<size_t>(servers);
    if (form == OffsetForm::kFeatureRows) {
      PlaceFeatures(plan, table, server, i, tensors[i].rows, sizes.row_splits[i], &out);
      continue;
    }
    if (form == OffsetForm::kRows) CheckColumns(plan, table, server, tensors[i].columns);
    out.push_back({i, 0, tensors[i].rows * tensors[i].columns, tensors[i].columns});
  }
  return out;
}

}  // namespace monolith::layouts
