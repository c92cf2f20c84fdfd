// The half of NegativeRecord that makes negatives: what they share is laid out once a record, each of them is three copies
// and two numbers put in.
#include "core/base/bytes.h"
#include "core/operators/negative_record.h"
#include "core/wire/cursor.h"
#include "core/wire/schema.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;

// Copies `line_id` with an item_id, and `action` in place of its actions when there is one. What is not there yet goes
// where its number belongs. Returns where the eight bytes of the item_id that counts stand in *out.
size_t EditLineId(std::string_view line_id, const std::optional<int32_t>& action, std::string* out) {
  using namespace schema::line_id;
  constexpr uint32_t kId = Key(kItemId, Type::kFixed64);
  const auto is_actions = [](uint32_t tag) { return tag == Key(kActions, Type::kBytes) || tag == Key(kActions, Type::kVarint); };
  bool id_done = false, actions_done = !action;
  for (Cursor c(line_id); !c.done();) {
    const uint32_t tag = c.Tag();
    id_done |= tag == kId;
    actions_done |= is_actions(tag);
    c.Skip(tag);
  }
  out->clear();
  wire::Writer w(out);
  size_t id_at = 0;
  const auto write_id = [&] {
    w.Fixed64(kItemId, 0);
    id_at = out->size() - 8;
    id_done = true;
  };
  const auto write_actions = [&] {
    std::string packed;
    wire::Writer(&packed).RawVarint(static_cast<uint64_t>(int64_t{*action}));
    w.Bytes(kActions, packed);
    actions_done = true;
  };
  bool replaced = false;
  for (Cursor c(line_id); !c.done();) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    if (!id_done && tag >> 3 > kItemId) write_id();
    if (!actions_done && tag >> 3 > kActions) write_actions();
    c.Skip(tag);
    if (action && is_actions(tag)) {
      if (!replaced) write_actions();
      replaced = true;
      continue;
    }
    out->append(begin, static_cast<size_t>(c.at() - begin));
    if (tag == kId) id_at = out->size() - 8;
  }
  if (!id_done) write_id();
  if (!actions_done) write_actions();
  return id_at;
}

}  // namespace

void NegativeRecord::BeginNegatives() {
  head_.clear();
  tail_.clear();
  std::string_view line_id = reserved_line_id_;
  if (reserved_[0] < 0) {
    line_ids_.clear();  // one after the other they mean what they mean together
    for (const Piece& piece : pieces_)
      if (piece.kind == Kind::kLineId) line_ids_.append(piece.value);
    line_id = line_ids_;
  }
  id_at_ = EditLineId(line_id, config_.negative_action, &edited_);
  config_.type == RecordType::kInstance ? BuildInstance() : BuildExample();
}

void NegativeRecord::AppendLineId() {
  const bool instance = config_.type == RecordType::kInstance;
  wire::Writer(&tail_).Bytes(instance ? schema::instance::kLineId : schema::example::kLineId, edited_);
  id_at_ += tail_.size() - edited_.size();
}

void NegativeRecord::AppendWeight() {
  wire::Writer(&tail_).Float(weight_number_, 0);
  weight_at_ = tail_.size() - 4;
}

void NegativeRecord::AppendToTail(const Piece& piece) {
  const size_t n = static_cast<size_t>(piece.end - piece.begin);
  tail_.append(piece.begin, n);
  PatchLabel(piece.begin, n);
}

// The last `n` bytes of the tail are a copy of those at `copied`.
void NegativeRecord::PatchLabel(const char* copied, size_t n) {
  if (label_ < copied || label_ >= copied + n) return;
  StoreLe<float>(tail_.data() + tail_.size() - n + (label_ - copied), config_.negative_label);
}

void NegativeRecord::BuildInstance() {
  bool weight_done = false, line_id_done = false;
  for (const Piece& piece : pieces_) line_id_done |= piece.kind == Kind::kLineId;
  const auto add_weight = [&] {
    AppendWeight();
    weight_done = true;
    if (!line_id_done) AppendLineId();
  };
  bool line_id_placed = false;
  for (const Piece& piece : pieces_) {
    if (!weight_done && (piece.kind == Kind::kWeight || (weights_ == 0 && piece.begin == weight_place_))) add_weight();
    if (piece.kind == Kind::kFid || piece.kind == Kind::kWeight) continue;
    if (piece.kind == Kind::kLineId) {
      if (!line_id_placed) AppendLineId();
      line_id_placed = true;
      continue;
    }
    AppendToTail(piece);
  }
  if (!weight_done) add_weight();
}

bool NegativeRecord::KeepsFeature(const Piece& piece) const {
  return piece.kind == Kind::kFeature && !(piece.roles & (kItem | kReservedLineId | kReservedLabel | kReservedWeight));
}

void NegativeRecord::BuildExample() {
  for (const Piece& piece : pieces_)
    if (KeepsFeature(piece)) head_.append(piece.begin, static_cast<size_t>(piece.end - piece.begin));
  if (config_.keep_all)
    for (const Piece& piece : pieces_)
      if (piece.kind == Kind::kRaw) AppendToTail(piece);
  AppendLineId();
  if (reserved_[1] >= 0 && !reserved_labels_.empty()) {
    wire::Writer(&tail_).Bytes(schema::example::kLabel, reserved_labels_);
    PatchLabel(reserved_labels_.data(), reserved_labels_.size());
  } else if (reserved_[1] < 0) {
    for (const Piece& piece : pieces_)
      if (piece.kind == Kind::kLabel) AppendToTail(piece);
  }
  AppendWeight();
  if (config_.keep_all)
    for (const Piece& piece : pieces_)
      if (piece.kind == Kind::kOther) AppendToTail(piece);
}

std::string_view NegativeRecord::Negative(const ItemPool::Drawn& item, float weight) {
  out_.clear();
  if (config_.type == RecordType::kInstance) {
    if (const size_t n = user_.size() + item.fids.size()) {
      wire::Writer w(&out_);
      w.Tag(schema::instance::kFid, Type::kBytes);
      w.RawVarint(n);
      out_.append(user_);
      out_.append(item.fids);
    }
  } else {
    out_.append(head_);
    out_.append(item.columns);
  }
  const size_t tail = out_.size();
  out_.append(tail_);
  StoreLe<uint64_t>(out_.data() + tail + id_at_, item.id);
  StoreLe<float>(out_.data() + tail + weight_at_, weight);
  return out_;
}

}  // namespace monolith
