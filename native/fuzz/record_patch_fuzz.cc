// Rewriting arbitrary records: what comes out is read back with the new values, and all else as it was. The first byte
// chooses what is changed, the second how.
#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "core/operators/record_patch.h"
#include "core/operators/record_view.h"

using namespace monolith;

namespace {

void Expect(bool holds) {
  if (!holds) std::abort();
}

bool Same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * 4) == 0);
}

// A record as readers see it.
struct Seen {
  Seen(RecordType type, std::string_view payload) : view(type, "fuzz") {
    view.WantLabels(), view.WantWeight();
    actions = view.WantLineId(*FindLineIdField("actions"));
    rank = view.WantLineId(*FindLineIdField("rank"));
    cid = view.WantLineId(*FindLineIdField("cid"));
    view.Load(payload);
  }
  RecordView view;
  int actions, rank, cid;
};

void Run(RecordType type, uint8_t what, uint8_t how, const std::string& payload) {
  const Seen before(type, payload);
  RecordPatch patch(type);
  const int actions = patch.Want(*FindLineIdField("actions")), rank = patch.Want(*FindLineIdField("rank"));
  patch.Load(payload);
  const std::vector<float> labels(how % 4, static_cast<float>(how));
  const std::vector<int32_t> more(1 + how % 3, how - 100);
  if (what & 1) patch.SetLabels(labels);
  if (what & 2) patch.SetWeight(1.0f + how);
  if (what & 4) patch.SetInt(rank, how - 100);
  if (what & 8) patch.AppendToList(actions, more);
  const std::string out(patch.Apply());
  if (!(what & 15)) return Expect(out == payload);

  const Seen after(type, out);
  Expect(Same(after.view.labels(), what & 1 ? labels : before.view.labels()));
  const float weight = what & 2 ? 1.0f + how : before.view.weight();
  const float weight_after = after.view.weight();
  Expect(std::memcmp(&weight_after, &weight, 4) == 0);
  Expect(after.view.line_id().Int(after.rank) == (what & 4 ? how - 100 : before.view.line_id().Int(before.rank)));
  Expect(after.view.line_id().String(after.cid) == before.view.line_id().String(before.cid));
  std::vector<int64_t> list = before.view.line_id().List(before.actions);
  if (what & 8) list.insert(list.end(), more.begin(), more.end());
  Expect(after.view.line_id().List(after.actions) == list);

  // Once more changes nothing, but for what is appended.
  if (what & 8) return;
  RecordPatch again(type);
  again.Want(*FindLineIdField("actions")), again.Want(*FindLineIdField("rank"));
  again.Load(out);
  if (what & 1) again.SetLabels(labels);
  if (what & 2) again.SetWeight(1.0f + how);
  if (what & 4) again.SetInt(rank, how - 100);
  Expect(again.Apply() == out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string payload(reinterpret_cast<const char*>(data + 2), size - 2);
  for (RecordType type : {RecordType::kInstance, RecordType::kExample}) {
    try {
      Run(type, data[0], data[1], payload);
    } catch (const BadRecord&) {
    }
  }
  return 0;
}
