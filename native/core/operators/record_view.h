// What operators ask of one Instance or Example: LineId fields, labels, weight, fids. Only what was asked for at set-up
// is looked at; nothing is copied out of the record.
//
// A record is broken when its top-level fields cannot be walked from end to end, or when a part that a condition looks
// at cannot be. Parts nobody asks for are passed over by their length and not checked.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/record.h"
#include "core/records/feature_value.h"
#include "core/records/line_id.h"

namespace monolith {

class RecordView {
 public:
  // Throws Error(kUsage) for example_batch, saying how to expand it; `who` is the command it says it for.
  RecordView(RecordType type, const char* who);
  RecordType type() const { return type_; }

  // Before the first record: what will be asked.
  int WantLineId(const LineIdField& field) { return line_id_.Want(field); }
  void WantLabels() { want_labels_ = true; }
  void WantWeight() { want_weight_ = true; }
  void WantFids() { want_fids_ = true; }
  // Counts the fids of an Instance's columns (v2) as its fids too; an Example's always count.
  void IncludeV2Fids() { include_v2_fids_ = true; }
  // A named feature of an Example; returns its place. Asking again gives the same place.
  int WantFeature(std::string_view name);

  // The next record. Throws BadRecord. All views stay valid as long as `payload` does.
  void Load(std::string_view payload);

  // In an Example the features `__LINE_ID__`, `__LABEL__` and `instance_weight` replace the fields, as in training.
  const LineIdReader& line_id() const { return line_id_; }
  const std::vector<float>& labels() const { return labels_; }
  // Where the first label stands: the byte of the payload at which its four bytes begin. There must be one.
  size_t FirstLabel() const;
  float weight() const { return weight_; }  // 1.0 when unset

  // The named feature asked for, the last one of that name; number 0 when there is none, or it holds nothing.
  FeatureValue Feature(int place);
  const char* origin() const { return origin_; }  // where the record begins, for positions in errors

  // Runs of fids as they stand in the record, little-endian and unaligned.
  struct Fids {
    const char* data;
    size_t n;
  };
  // The set of fids by spec 20, section 1: an Instance's v1 list, and those of its columns if included; all v1 and v2
  // lists of an Example.
  template <class Visit>
  bool AnyFids(Visit visit) {
    if (type_ == RecordType::kExample) Expand();
    for (const Fids& run : v1_)
      if (visit(run)) return true;
    if (type_ == RecordType::kInstance) {
      if (!include_v2_fids_) return false;
      Expand();
    }
    for (const Fids& run : v2_)
      if (visit(run)) return true;
    return false;
  }
  bool HasFid(uint64_t fid);
  // A slot of a v1 list, or of any v2 list, those of an Instance's columns included.
  bool HasSlot(uint32_t slot);

 private:
  void LoadInstance(std::string_view payload);
  void WalkInstance(std::string_view payload);
  void TakeAt(std::string_view payload);
  bool Describe(std::string_view payload, wire::DecisiveBytes* decisive);
  void LoadExample(std::string_view payload);
  void NoteNamed(std::string_view named_feature);
  FeatureValue ValueOf(std::string_view named_feature);
  void ApplyReserved();
  void Expand();  // fids of features, once a record
  void ExpandColumn(std::string_view column);
  void ExpandNamedFeature(std::string_view named_feature);
  void AddLabels(std::string_view bytes);

  const RecordType type_;
  bool want_labels_ = false, want_weight_ = false, want_fids_ = false, include_v2_fids_ = false;

  const char* origin_ = nullptr;
  LineIdReader line_id_;
  std::vector<float> labels_;
  const char* first_label_ = nullptr;  // of the fields; that of __LABEL__ is searched for when it is asked for
  float weight_ = 1.0f;
  std::vector<Fids> v1_, v2_;
  std::vector<std::string_view> features_;  // not expanded yet
  bool expanded_ = false;
  std::string_view reserved_[3];  // the named features of __LINE_ID__, __LABEL__, instance_weight; data() null for none
  // What is asked for in an Instance of known layout, and where it stands.
  struct Take {
    enum Kind { kFids, kLabels, kWeight, kColumn } kind;
    uint32_t at, size;
  };
  struct Remembered {
    wire::Layout layout;
    std::vector<Take> takes;
    std::vector<LineIdTake> line_id;
  };
  static constexpr size_t kRemembered = 256;            // layouts
  static constexpr size_t kMostRemembered = 64 << 10;  // bytes of a record
  std::vector<Remembered> layouts_;  // by the size of the payload modulo kRemembered
  Remembered* known_ = nullptr;      // of the record at hand

  struct Named {
    std::string name;
    std::string_view bytes;  // of the NamedFeature; data() null for none
  };
  std::vector<Named> named_;
  std::deque<std::string> storage_;
};

}  // namespace monolith
