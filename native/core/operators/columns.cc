#include "core/operators/columns.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/fid.h"
#include "core/wire/cursor.h"
#include "core/wire/schema.h"

namespace monolith {

using wire::Cursor;
using wire::Key;
using wire::Type;

Columns::Columns(ColumnsConfig config) : keep_only_(config.keep.has_value()), scan_(config.type) {
  scan_.WantRaw();
  if (keep_only_) {
    scan_.WantAll();
    std::fill(std::begin(gone_slots_), std::end(gone_slots_), true);
    for (const char* name : {schema::kLineIdName, schema::kLabelName, schema::kInstanceWeightName}) RuleOf(name)->keep = true;
    for (const std::string& name : *config.keep) {
      const int slot = config.type == RecordType::kInstance ? fid::NamedSlotV1(name) : -1;
      if (slot >= 0) gone_slots_[slot] = false;
      RuleOf(name)->keep = true;
    }
  }
  for (const std::string& name : config.drop) {
    const int slot = config.type == RecordType::kInstance ? fid::NamedSlotV1(name) : -1;
    if (slot >= 0) gone_slots_[slot] = true;
    RuleOf(name)->drop = true;
  }
  for (const auto& [from, to] : config.rename) {
    if (from.empty()) throw Error(ErrorCode::kUsage, "a feature needs a name");
    if (config.type == RecordType::kInstance && fid::NamedSlotV1(from) >= 0)
      throw Error(ErrorCode::kUsage, "'" + from + "' stands for the v1 fids of a slot in an instance; these get another slot "
                                                   "(--slot), not another name");
    CheckNewName(config.type, to);
    Rule* rule = RuleOf(from);
    if (!rule->rename.empty()) throw Error(ErrorCode::kUsage, "feature '" + from + "' is given two names");
    rule->rename = to;
  }
  some_slots_gone_ = config.type == RecordType::kInstance &&
                     std::find(std::begin(gone_slots_), std::end(gone_slots_), true) != std::end(gone_slots_);
  if (some_slots_gone_) scan_.WantFids();
}

Columns::Rule* Columns::RuleOf(const std::string& name) {
  const size_t number = static_cast<size_t>(scan_.Want(name));
  if (number == rules_.size()) rules_.emplace_back();
  return &rules_[number];
}

bool Columns::Drops(const FeatureScan::Found& found) const {
  if (found.name == NameTable::kAbsent) return keep_only_;
  const Rule& rule = rules_[static_cast<size_t>(found.name)];
  return rule.drop || (keep_only_ && !rule.keep);
}

void Columns::Rename(const FeatureScan::Found& found, const std::string& to, std::string* out) {
  part_.clear();
  wire::Writer w(&part_);
  Cursor c(found.content);
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    c.Skip(tag);
    if (tag == Key(schema::named_feature::kName, Type::kBytes)) {
      w.Bytes(schema::named_feature::kName, to);
    } else {
      part_.append(begin, static_cast<size_t>(c.at() - begin));
    }
  }
  Cursor field(found.field);
  const uint32_t tag = field.Tag();
  wire::Writer(out).Bytes(tag >> 3, part_);
}

// Leaves in part_ what stays of a run of flat fids, if some are gone.
void Columns::Thin(std::string_view fids, bool* any_gone) {
  part_.clear();
  size_t taken = 0;
  for (size_t i = 0; i < fids.size(); i += 8) {
    if (!gone_slots_[fid::SlotV1(LoadLe<uint64_t>(fids.data() + i))]) continue;
    *any_gone = true;
    part_.append(fids.data() + taken, i - taken);
    taken = i + 8;
  }
  part_.append(fids.data() + taken, fids.size() - taken);
}

bool Columns::Touch(const FeatureScan::Found& found) {
  if (found.kind == FeatureScan::Kind::kFids) {
    bool any_gone = false;
    Thin(found.content, &any_gone);
    if (!any_gone) return false;
    std::string* out = edit_.Replace(found.field);
    if (!part_.empty()) wire::Writer(out).Bytes(schema::instance::kFid, part_);
    return true;
  }
  if (Drops(found)) {
    edit_.Replace(found.field);
    return true;
  }
  if (found.name == NameTable::kAbsent) return false;
  const std::string& to = rules_[static_cast<size_t>(found.name)].rename;
  if (to.empty()) return false;
  Rename(found, to, edit_.Replace(found.field));
  return true;
}

void Columns::Process(const Record& record, RecordSink* next) {
  const std::vector<FeatureScan::Found>& found = scan_.Load(record.payload);
  edit_.Begin(record);
  bool changed = false;
  for (const FeatureScan::Found& f : found) changed |= Touch(f);
  next->Write(changed ? edit_.Made() : record);
}

}  // namespace monolith
