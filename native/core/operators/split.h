// pb-split: each record goes to one of several places (spec 20, section 26.2).
//
// What decides: the record's data_source_key, which is that of a flow's name; a field of its LineId, whose value is the name; a
// hash of such a field, or the turn, over all flows alike. Records go as they came and keep their order within a flow.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/operators/operator.h"
#include "core/operators/outlet.h"
#include "core/operators/record_view.h"
#include "core/parse/name_table.h"

namespace monolith {

struct SplitConfig {
  enum class By { kFlow, kField, kHash, kTurn };
  struct Flow {
    std::string name, path;  // path `-`: passed on
  };

  RecordType type = RecordType::kInstance;
  By by = By::kFlow;
  std::string field;  // of LineId, for kField and kHash
  std::vector<Flow> flows;
  std::string unmatched = "error";  // drop, error (a bad record), or a path
};

// While it runs SIGPIPE is ignored: when the reader of one place goes, the others are served on. When none is left, the
// process ends by SIGPIPE.
class Split : public Operator {
 public:
  // Throws Error(kUsage), for two flows with one code for one; Error(kCannotCreate) for a path.
  explicit Split(SplitConfig config);
  Split(const Split&) = delete;
  Split& operator=(const Split&) = delete;

  const char* name() const override { return "split"; }
  // The first call waits until every FIFO has a reader; throws Interrupted on a stop request.
  void Process(const Record& record, RecordSink* next) override;
  void Flush(RecordSink* next) override;
  void Finish(RecordSink* next) override;
  void Commit() override;
  bool HoldsBack() const override;
  // unmatched; reader_gone: records for a place whose reader has gone.
  std::map<std::string, uint64_t> DroppedBy() const override;
  // Records written by flow; `unmatched` when they go to a path.
  std::map<std::string, uint64_t> Counts() const override;
  // Places whose reader went before the end.
  std::vector<std::string> Gone() const;

 private:
  static constexpr int kNone = -1;

  void AddFlow(const SplitConfig::Flow& flow);
  size_t OutletAt(const std::string& path);
  void AddValue(const SplitConfig::Flow& flow);
  int FlowOf(std::string_view payload);
  int FlowOfKey(uint64_t key) const;
  uint64_t HashOfField() const;
  std::string Describe() const;
  void Open();
  void EndIfAllGone();

  const SplitConfig config_;
  RecordView view_;
  const LineIdField* field_ = nullptr;
  int place_ = -1;
  std::vector<std::unique_ptr<Outlet>> outlets_;
  std::vector<size_t> outlet_of_;  // by flow; the last is that of what is not matched, if it has one
  std::vector<uint64_t> records_;  // by flow
  std::unordered_map<uint64_t, int> by_key_;
  NameTable by_text_;
  bool open_ = false, unmatched_kept_ = false;
  uint64_t turn_ = 0, unmatched_ = 0, key_ = 0;
};

}  // namespace monolith
