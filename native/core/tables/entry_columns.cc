#include "core/tables/entry_columns.h"

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith {
namespace {

template <class T>
void Put(T v, std::string* out) {
  char bytes[sizeof v];
  StoreLe(bytes, v);
  out->append(bytes, sizeof bytes);
}

template <class T>
void End(EntryColumns::List* list) {
  list->offsets.push_back(static_cast<int32_t>(list->values.size() / sizeof(T)));
}

struct Range {
  size_t begin, end;
  size_t size() const { return end - begin; }
};

Range At(const EntryColumnsView::List& list, size_t i, const char* what) {
  const int32_t begin = list.offsets[i], end = list.offsets[i + 1];
  if (begin < 0 || end < begin || static_cast<size_t>(end) > list.count)
    throw BadRecord(std::string("the offsets of ") + what + " are out of order");
  return {static_cast<size_t>(begin), static_cast<size_t>(end)};
}

}  // namespace

void EntryColumns::Append(const std::string& table_name, const DumpedEntry& entry) {
  ++rows;
  table.values.append(table_name);
  End<char>(&table);
  fid.push_back(static_cast<uint64_t>(entry.key));
  slot.push_back(static_cast<int32_t>(static_cast<uint64_t>(entry.key) >> 48 & 0x7FFF));
  last_update.push_back(entry.timestamp);
  weights.values.append(reinterpret_cast<const char*>(entry.weights.data()), 4 * entry.weights.size());
  End<float>(&weights);
  for (const auto& segment : entry.segments) {
    names_text.values.append(segment.kind ? segment.kind->name : "");
    End<char>(&names_text);
  }
  names.push_back(static_cast<int32_t>(names_text.offsets.size() - 1));
  for (const auto& value : entry.values) {
    if (value.field->integer) {
      Put(value.integer, &steps.values);
      continue;
    }
    state.values.append(reinterpret_cast<const char*>(entry.state.data() + value.first), 4 * value.count);
    Put(static_cast<int32_t>(value.count), &sizes.values);
  }
  End<float>(&state);
  End<int32_t>(&sizes);
  End<int64_t>(&steps);
}

RowFields EntryColumnsView::Row(size_t i, std::string_view* table_name, DumpedEntry* entry) const {
  RowFields has;
  has.table = table.offsets != nullptr;
  has.last_update = last_update != nullptr;
  has.optimizer = optimizer;
  if (has.table) {
    const Range r = At(table, i, "table");
    *table_name = {table.values + r.begin, r.size()};
  }
  entry->key = static_cast<int64_t>(fid[i]);
  entry->timestamp = has.last_update ? last_update[i] : 0;
  const int64_t real = static_cast<int64_t>(fid[i] >> 48 & 0x7FFF);
  if (slot && slot[i] != real) throw BadRecord("slot " + std::to_string(slot[i]) + " is not that of the fid, " + std::to_string(real));
  const Range w = At(weights, i, "weights");
  entry->weights.resize(w.size());
  if (w.size()) std::memcpy(entry->weights.data(), weights.values + 4 * w.begin, 4 * w.size());
  entry->state.clear();
  entry->segments.clear();
  entry->values.clear();
  if (has.optimizer) Segments(i, entry);
  return has;
}

void EntryColumnsView::Segments(size_t i, DumpedEntry* entry) const {
  const Range floats = At(state, i, "state"), counts = At(sizes, i, "state_sizes"), integers = At(steps, i, "state_steps");
  size_t next_float = floats.begin, next_count = counts.begin, next_integer = integers.begin;
  const Range segments = At(names, i, "optimizer");
  for (size_t s = segments.begin; s < segments.end; ++s) {
    const Range text = At(names_text, s, "optimizer");
    const std::string_view name(names_text.values + text.begin, text.size());
    DumpedEntry::Segment segment{name.empty() ? nullptr : FindOptimizerKind(name), entry->values.size(), 0};
    if (!segment.kind && !name.empty()) throw BadRecord("there is no optimizer '" + std::string(name) + "'");
    for (size_t f = 0; segment.kind && f < segment.kind->fields.size(); ++f) {
      const OptimizerField& field = segment.kind->fields[f];
      DumpedEntry::Value value{&field, entry->state.size(), 1, 0};
      if (field.integer) {
        if (next_integer == integers.end) throw BadRecord("state_steps has too few values");
        value.integer = LoadLe<int64_t>(steps.values + 8 * next_integer++);
      } else {
        if (next_count == counts.end) throw BadRecord("state_sizes has too few values");
        const int32_t count = LoadLe<int32_t>(sizes.values + 4 * next_count++);
        if (count < 0 || static_cast<size_t>(count) > floats.end - next_float) throw BadRecord("state has fewer values than state_sizes says");
        if (!field.repeated && count != 1) throw BadRecord(std::string(field.name) + " has " + std::to_string(count) + " values");
        value.count = static_cast<size_t>(count);
        for (size_t k = 0; k < value.count; ++k) entry->state.push_back(LoadLe<float>(state.values + 4 * next_float++));
      }
      entry->values.push_back(value);
    }
    segment.count = entry->values.size() - segment.first;
    entry->segments.push_back(segment);
  }
  if (next_float != floats.end || next_count != counts.end || next_integer != integers.end)
    throw BadRecord("there is more state than the optimizers have");
}

}  // namespace monolith
