// One record as negative generation sees it: what tells positives, channel and item; its item part and its user part; and
// the records made of it.
//
// The item part are the v1 fids of item slots (Instance) or the features with item names (Example; of several with one
// name the last). A negative has the user part in its order, behind it the item features of another item; everything else of
// an Instance is as in the input. A negative of an Example consists of its user part, line_id, label and weight, unless all is
// to be kept; the features `__LINE_ID__`, `__LABEL__` and `instance_weight`, which stand for fields, have become fields in it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/record.h"
#include "core/operators/item_pool.h"
#include "core/parse/name_table.h"
#include "core/records/line_id.h"

namespace monolith {

struct NegativeRecordConfig {
  RecordType type = RecordType::kInstance;
  std::vector<std::string> item_features;     // slot numbers (Instance) or names (Example)
  std::optional<std::string> channel_feature;  // the channel is its fid; 3 without
  std::optional<std::string> index_feature;    // the item's id is its fid; line_id.item_id without
  size_t label_index = 0;
  float negative_label = -1;
  std::optional<int32_t> negative_action;  // the only action of negatives; none: actions stay
  bool keep_all = false;  // negatives of an Example keep raw features, data_source_key and unknown fields
};

class NegativeRecord {
 public:
  // Throws Error(kUsage).
  explicit NegativeRecord(NegativeRecordConfig config);

  // The next record; its bytes must stay until the one after it. Throws BadRecord.
  void Load(std::string_view payload);

  const std::vector<int64_t>& actions() const { return line_id_.List(actions_); }
  bool has_label() const { return label_ != nullptr; }  // at label_index
  float label() const;

  // Looks at the features: fills what follows. Throws BadRecord.
  void Split();
  uint64_t channel() const { return channel_; }
  uint64_t item_id() const { return item_id_; }
  std::string_view item_fids() const { return item_fids_; }
  std::string_view item_columns() const { return item_columns_; }

  // The record with another weight, which stands in its field alone. Data null: it has that very weight.
  std::string_view WithWeight(float weight);

  // After Split(): prepares negatives of this record.
  void BeginNegatives();
  std::string_view Negative(const ItemPool::Drawn& item, float weight);

 private:
  enum class Kind : uint8_t { kOther, kFid, kFeature, kRaw, kLabel, kWeight, kLineId };
  enum Role : uint8_t { kItem = 1, kChannel = 2, kIndex = 4, kReservedLineId = 8, kReservedLabel = 16, kReservedWeight = 32 };
  struct Piece {
    Kind kind;
    uint8_t roles;  // of a feature
    int name;       // of a feature with a role
    const char* begin;
    const char* end;
    std::string_view value;
  };

  void SetRole(const std::string& feature, Role role);
  void LoadInstance(std::string_view payload);
  void LoadExample(std::string_view payload);
  void Add(Kind kind, const char* begin, const char* end, std::string_view value);
  void AddFeature(const char* begin, const char* end, std::string_view value);
  void AddLabels(std::string_view run);
  void ApplyReserved();
  void SplitInstance();
  void SplitExample();
  bool FirstFid(std::string_view named_feature, uint64_t* fid);

  void BuildInstance();
  void BuildExample();
  bool KeepsFeature(const Piece& piece) const;
  void AppendLineId();
  void AppendWeight();
  void AppendToTail(const Piece& piece);
  void PatchLabel(const char* copied, size_t n);

  const NegativeRecordConfig config_;
  const uint32_t weight_number_;
  std::array<uint8_t, 1024> slot_roles_{};  // Instance
  NameTable names_;                         // Example
  std::vector<uint8_t> name_roles_;

  std::string_view payload_;
  std::vector<Piece> pieces_;
  const char* weight_place_ = nullptr;  // where a weight that is not there belongs
  size_t weights_ = 0;
  LineIdReader line_id_;
  int actions_, item_id_place_;
  size_t labels_ = 0;
  const char* label_ = nullptr;  // the four bytes at label_index
  int reserved_[2] = {};  // places in pieces_ of the features that count for line_id and labels; -1 for none
  bool reserved_weight_ = false;
  std::string_view reserved_line_id_, reserved_labels_;

  uint64_t channel_ = 0, item_id_ = 0;
  std::string item_fids_, item_columns_, user_;
  std::vector<size_t> last_of_name_;
  std::deque<std::string> storage_;

  std::string line_ids_, edited_;
  std::string head_, tail_, out_;  // of negatives: before and behind the item features
  size_t id_at_ = 0, weight_at_ = 0;  // in tail_
};

}  // namespace monolith
