// Rewrites an Instance or Example on its wire bytes: labels, weight, fids, fields of its LineId; drops named features.
//
// The bytes that come out. What is not changed stays as it stands, in its order, unknown fields and odd encodings
// included. A changed field stands once, at the place of its first occurrence; where it was not there, it goes before
// the first field with a greater number, or to the end. Further occurrences are taken out. So a record that was written
// in number order is in number order again, and every reader finds the new value whatever the order was.
//   - An occurrence with a wire type that is not the field's own is unknown data and stays.
//   - Lists of numbers are written packed; no elements, no field. Those appended to go behind the old elements, whose
//     bytes are kept.
//   - A LineId in several pieces becomes one, at the place of the first: the pieces in their order (which is how
//     protobuf merges them), with the changes.
//   - An Example's weight of 0 is not written: proto3 cannot tell it from unset.
//
// Where the features `__LINE_ID__`, `__LABEL__` or `instance_weight` of an Example stand for a field that is changed, the
// feature is dropped and the field written; a LineId starts from the feature's bytes. The new value then stands in one
// place only, where readers that know of such features and readers that know only the fields both find it, as in what
// pb-convert makes. Writing it into the feature would leave the field with another value.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/record.h"
#include "core/records/line_id.h"
#include "core/wire/cursor.h"

namespace monolith {

// One for each operator; it keeps its memory from record to record.
class RecordPatch {
 public:
  explicit RecordPatch(RecordType type) : type_(type) {}

  // At set-up: a LineId field that will be set; returns its place. Asking again gives the same place.
  int Want(const LineIdField& field);
  // At set-up: leave out each named feature of an Example that `drop` says true for.
  void DropFeatures(std::function<bool(std::string_view name)> drop) { drop_ = std::move(drop); }

  // Begins a record, and forgets what was to be changed in the one before.
  void Load(std::string_view payload);

  // What to change. Vectors and views must live until Apply() returns.
  void SetLabels(const std::vector<float>& labels);
  // Label i of `labels` (all that the record has) becomes v; i must be in range.
  void SetLabel(const std::vector<float>& labels, size_t i, float v);
  void SetWeight(float v);
  void SetFids(std::string_view packed);  // of an Instance: all v1 fids, eight bytes each
  // By the kind of the field: SetUint for fixed64, SetFloat for float and double, SetString, SetInt for the others; lists
  // are those of whole numbers that are varints.
  void SetInt(int place, int64_t v) { Line(place)->bits = static_cast<uint64_t>(v); }
  void SetUint(int place, uint64_t v) { Line(place)->bits = v; }
  void SetFloat(int place, double v);
  void SetString(int place, std::string_view v) { Line(place)->text = v; }
  void SetList(int place, const std::vector<int32_t>& values);
  void AppendToList(int place, const std::vector<int32_t>& values);

  // The record with the changes; the payload itself when there are none. Valid until the next call, and as long as the
  // payload. Throws BadRecord when the record, its LineId (if that is changed) or what is replaced cannot be walked.
  std::string_view Apply();

  // Apply() and write; a record without changes is passed on as it came.
  void Write(const Record& record, RecordSink* next);

 private:
  // A field that is changed, in its message: where it goes.
  struct Slot {
    uint32_t number = 0;
    int index = 0;                 // a Part, or a place in line_
    const char* first = nullptr;   // its first occurrence
    const char* before = nullptr;  // the first field with a greater number
    const char* At(const char* end) const { return first ? first : before ? before : end; }
  };
  // The changes to one message.
  struct Edits {
    struct Cut {
      const char *begin, *end;
    };
    std::vector<Slot> slots;
    std::vector<Cut> cuts;   // what is taken out, in order
    size_t cut_bytes = 0;
    uint64_t numbers = 0;    // of the slots, as bits modulo 64
    uint32_t greatest = 0;   // field number so far

    void Clear() { slots.clear(), numbers = 0, Rewind(); }
    void Rewind();
    void Add(uint32_t number, int index);
    void TakeOut(const char* begin, const char* end) { cuts.push_back({begin, end}), cut_bytes += static_cast<size_t>(end - begin); }
    template <class Take>
    void Scan(std::string_view message, const char* origin, Take take);
    template <class WriteSlot>
    char* Copy(std::string_view message, char* out, WriteSlot write);
  };
  struct LineField {
    const LineIdField* field;
    bool set = false, append = false;
    uint64_t bits = 0;
    std::string_view text;
    std::string old, added;  // elements of a list
    size_t Size() const;
    char* Write(char* out) const;
  };
  enum Part : int { kFids, kLabels, kWeight, kLineId, kParts };

  uint32_t NumberOf(Part part) const;
  void Change(Part part);
  LineField* Line(int place);
  bool TakePart(Part part, uint32_t tag, wire::Cursor* c);
  bool Drops(std::string_view named_feature);
  void FindLineId();
  void ScanLineId(std::string_view message, const char* origin);
  bool TakeLine(LineField* f, uint32_t tag, wire::Cursor* c);
  std::string_view LineIdOfFeature();
  char* Reserve();
  char* WritePart(Part part, char* out);

  const RecordType type_;
  std::function<bool(std::string_view)> drop_;

  std::string_view payload_;
  bool changed_[kParts] = {};
  std::string_view labels_, fids_;
  std::vector<float> own_labels_;
  float weight_ = 0;
  std::vector<LineField> line_;

  Edits edits_, line_edits_;
  std::vector<std::string_view> line_ids_;  // the pieces of the field
  std::string_view line_id_feature_;        // the last named feature __LINE_ID__; data() null for none
  std::string_view line_id_;                // what the changes are made to
  size_t line_id_size_ = 0;                 // with the changes
  std::deque<std::string> storage_;
  std::string joined_;
  std::unique_ptr<char[]> out_;
  size_t capacity_ = 0;
};

}  // namespace monolith
