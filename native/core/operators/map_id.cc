#include "core/operators/map_id.h"

#include "core/base/error.h"
#include "core/base/fid.h"
#include "core/wire/cursor.h"
#include "core/wire/schema.h"

namespace monolith {

using wire::Cursor;
using wire::Key;
using wire::Type;

MapId::MapId(MapIdConfig config) : type_(config.type), scan_(config.type) {
  for (const MapIdConfig::Rule& rule : config.rules) {
    if (rule.table.empty()) throw Error(ErrorCode::kUsage, "the table for '" + rule.name + "' is empty");
    if (type_ == RecordType::kInstance && fid::NamedSlotV1(rule.name) >= 0)
      throw Error(ErrorCode::kUsage, "'" + rule.name + "' stands for v1 fids in an instance, not for integers");
    const size_t number = static_cast<size_t>(scan_.Want(rule.name));
    if (number != tables_.size()) throw Error(ErrorCode::kUsage, "feature '" + rule.name + "' is given two tables");
    tables_.push_back({{rule.table.begin(), rule.table.end()}, rule.other});
  }
}

int64_t MapId::Mapped(const Table& table, uint64_t from) const {
  const auto it = table.to.find(static_cast<int64_t>(from));
  return it == table.to.end() ? table.other : it->second;
}

template <class Change>
bool MapId::Rewrite(std::string_view message, uint32_t tag, std::string* out, Change change) {
  bool changed = false;
  Cursor c(message, origin_);
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t t = c.Tag();
    if (t == tag) {
      std::string inner;
      const std::string_view content = c.Bytes();
      if (change(content, &inner)) {
        wire::Writer(out).Bytes(tag >> 3, inner);
        changed = true;
        continue;
      }
    } else {
      c.Skip(t);
    }
    out->append(begin, static_cast<size_t>(c.at() - begin));
  }
  return changed;
}

// The integers of field `number`, packed or not, stand as they did.
bool MapId::MapValues(std::string_view message, uint32_t number, const Table& table, std::string* out) {
  bool changed = false;
  wire::Writer w(out);
  Cursor c(message, origin_);
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    if (tag == Key(number, Type::kVarint)) {
      w.Varint(number, static_cast<uint64_t>(Mapped(table, c.Varint())));
      changed = true;
    } else if (tag == Key(number, Type::kBytes)) {
      std::string packed;
      wire::Writer values(&packed);
      Cursor from(c.Bytes(), origin_);
      while (!from.done()) values.RawVarint(static_cast<uint64_t>(Mapped(table, from.Varint())));
      w.Bytes(number, packed);
      changed = true;
    } else {
      c.Skip(tag);
      out->append(begin, static_cast<size_t>(c.at() - begin));
    }
  }
  return changed;
}

bool MapId::MapLists(std::string_view message, uint32_t number, const Table& table, std::string* out) {
  return Rewrite(message, Key(number, Type::kBytes), out, [&](std::string_view list, std::string* inner) {
    return MapValues(list, schema::kListValue, table, inner);
  });
}

bool MapId::MapFeature(std::string_view feature, const Table& table, std::string* out) {
  using namespace schema::feature;
  bool changed = false;
  wire::Writer w(out);
  Cursor c(feature, origin_);
  while (!c.done()) {
    const char* const begin = c.at();
    const uint32_t tag = c.Tag();
    std::string inner;
    if (tag == Key(kInt64Value, Type::kVarint)) {
      w.Varint(kInt64Value, static_cast<uint64_t>(Mapped(table, c.Varint())));
      changed = true;
    } else if (tag == Key(kInt64List, Type::kBytes) || tag == Key(kInt64Lists, Type::kBytes)) {
      const std::string_view content = c.Bytes();
      changed |= tag >> 3 == kInt64List ? MapValues(content, schema::kListValue, table, &inner)
                                        : MapLists(content, schema::kListsList, table, &inner);
      w.Bytes(tag >> 3, inner);
    } else {
      c.Skip(tag);
      out->append(begin, static_cast<size_t>(c.at() - begin));
    }
  }
  return changed;
}

bool MapId::MapFeatures(std::string_view named, const Table& table, std::string* out) {
  return Rewrite(named, Key(schema::named_feature::kFeature, Type::kBytes), out,
                 [&](std::string_view feature, std::string* inner) { return MapFeature(feature, table, inner); });
}

bool MapId::MapColumn(std::string_view column, const Table& table, std::string* out) {
  std::string lists;
  const bool changed = MapLists(column, schema::column::kInt64List, table, &lists);
  return MapValues(lists, schema::column::kInt64Value, table, out) || changed;
}

void MapId::Process(const Record& record, RecordSink* next) {
  origin_ = record.payload.data();
  edit_.Begin(record);
  bool any = false;
  for (const FeatureScan::Found& f : scan_.Load(record.payload)) {
    const Table& table = tables_[static_cast<size_t>(f.name)];
    message_.clear();
    const bool changed = type_ == RecordType::kInstance ? MapColumn(f.content, table, &message_) : MapFeatures(f.content, table, &message_);
    if (!changed) continue;
    wire::Writer(edit_.Replace(f.field))
        .Bytes(type_ == RecordType::kInstance ? schema::instance::kFeature : schema::example::kNamedFeature, message_);
    any = true;
  }
  next->Write(any ? edit_.Made() : record);
}

}  // namespace monolith
