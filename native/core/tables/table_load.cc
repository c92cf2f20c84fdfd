#include "core/tables/table_load.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/tables/key_hash.h"

namespace monolith {
namespace {

constexpr size_t kMaxLine = size_t{256} << 20;
constexpr size_t kSeenBytes = 24;  // key, number of the row, table, file
constexpr size_t kSeenLanes = 256;

}  // namespace

TableLoad::TableLoad(LoadOptions options) : options_(std::move(options)), seen_(options_.spool_directory, options_.memory / 8) {
  if (options_.single) return;
  RowSetOptions set;
  set.shards = options_.shards;
  set.sort_tables = true;
  set.spool_directory = options_.spool_directory;
  set.memory = options_.memory / 4;
  sets_.push_back(std::make_unique<RowSetWriter>(options_.directory + "/" + options_.name, std::vector<std::string>(), set));
}

void TableLoad::Lines(const std::string& file, std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    if (end == std::string_view::npos || !rest_.empty()) {
      rest_.append(bytes.substr(0, end));
      if (rest_.size() > kMaxLine)
        throw Error(ErrorCode::kBadData, file + ": line " + std::to_string(line_ + 1) + " at byte " + std::to_string(offset_) +
                                             ": is longer than " + std::to_string(kMaxLine) + " bytes");
      if (end == std::string_view::npos) return;
      Line(file, rest_);
      rest_.clear();
    } else {
      Line(file, bytes.substr(0, end));
    }
    bytes.remove_prefix(end + 1);
  }
}

void TableLoad::EndLines(const std::string& file) {
  if (!rest_.empty()) Line(file, rest_);
  rest_.clear();
  line_ = offset_ = 0;
}

void TableLoad::Line(const std::string& file, std::string_view line) {
  ++line_;
  const auto at = offset_;
  offset_ += line.size() + 1;
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
  try {
    const RowFields has = parser_.Parse(line, &table_, &entry_);
    Row(file, line_, table_, has, &entry_);
  } catch (const BadRecord& e) {
    throw Error(ErrorCode::kBadData, file + ": line " + std::to_string(line_) + " at byte " + std::to_string(at) + ": " + e.what());
  }
}

void TableLoad::Row(const std::string& file, uint64_t number, std::string_view name, RowFields has, DumpedEntry* entry) {
  if (!has.table) {
    if (options_.table.empty()) throw BadRecord("the row has no 'table'; name one for such rows with --table");
    name = options_.table;
  }
  if (!has.last_update) {
    if (!options_.last_update) throw BadRecord("the row has no 'last_update'; give one for such rows with --last-update");
    entry->timestamp = *options_.last_update;
  }
  if (entry->timestamp < 0 || entry->timestamp > UINT32_MAX)
    throw BadRecord("last_update " + std::to_string(entry->timestamp) + " is no time that a table can hold (0 to 4294967295)");
  if (!has.optimizer) {
    if (options_.start.empty()) throw BadRecord("the row has no 'optimizer'; say what its state starts from with --optimizer");
    Start(entry);
  }
  Table& table = TableOf(name);
  try {
    table.shape.Check(*entry);
  } catch (const BadRecord& e) {
    throw BadRecord("table '" + table.name + "': " + e.what());
  }
  ++table.rows;
  Remember(file, number, table, entry->key);
  message_.clear();
  writer_.Append(*entry, &message_);
  table.set->Add(table.number, HashKey(entry->key), message_);
}

TableLoad::Table& TableLoad::TableOf(std::string_view name) {
  if (last_ && last_->name == name) return *last_;
  auto found = tables_.find(name);
  if (found == tables_.end()) {
    if (name.empty()) throw BadRecord("a table must have a name");
    Table table;
    table.name = name;
    table.id = static_cast<uint32_t>(tables_.size());
    Open(&table);
    found = tables_.emplace(table.name, std::move(table)).first;
  }
  return *(last_ = &found->second);
}

void TableLoad::Open(Table* table) {
  if (!options_.single) {
    table->set = sets_[0].get();
    table->number = table->set->Table(table->name);
    return;
  }
  if (!options_.name.empty() && !sets_.empty()) throw BadRecord("a second table, '" + table->name + "': --name goes with one table");
  const std::string name = options_.name.empty() ? table->name : options_.name;
  if (name.find_first_of("/\n") != std::string::npos || name[0] == '.')
    throw BadRecord("table '" + name + "' cannot be the name of files; give one with --name, or leave --single out");
  RowSetOptions set;
  set.single = true;
  set.shards = options_.shards;
  set.spool_directory = options_.spool_directory;
  set.memory = options_.memory / 4;
  sets_.push_back(std::make_unique<RowSetWriter>(options_.directory + "/" + name, std::vector<std::string>{table->name}, set));
  table->set = sets_.back().get();
}

void TableLoad::Start(DumpedEntry* entry) const {
  size_t named = 0, open = 0;
  for (const StartState& s : options_.start) s.dim < 0 ? ++open : named += static_cast<size_t>(s.dim);
  if (open > 1 || named > entry->weights.size() || (open == 0 && named != entry->weights.size()))
    throw BadRecord("the row has " + std::to_string(entry->weights.size()) + " weights, which the dims of --optimizer do not sum up to");
  entry->state.clear();
  entry->values.clear();
  entry->segments.clear();
  for (const StartState& s : options_.start) {
    if (!s.kind) continue;  // such an optimizer has no part in a checkpoint
    const size_t dim = s.dim < 0 ? entry->weights.size() - named : static_cast<size_t>(s.dim);
    const size_t first = entry->values.size();
    for (const OptimizerField& field : s.kind->fields) {
      const auto given = s.values.find(field.name);
      const double v = given == s.values.end() ? 0 : given->second;
      const size_t count = field.integer || !field.repeated ? 1 : dim;
      entry->values.push_back({&field, entry->state.size(), count, field.integer ? static_cast<int64_t>(v) : 0});
      if (!field.integer) entry->state.insert(entry->state.end(), count, static_cast<float>(v));
    }
    entry->segments.push_back({s.kind, first, entry->values.size() - first});
  }
}

void TableLoad::Remember(const std::string& file, uint64_t number, const Table& table, int64_t key) {
  if (files_.empty() || files_.back() != file) files_.push_back(file);
  char seen[kSeenBytes];
  StoreLe(seen, key);
  StoreLe(seen + 8, number);
  StoreLe(seen + 16, table.id);
  StoreLe(seen + 20, static_cast<uint32_t>(files_.size() - 1));
  seen_.Append(HashKey(key) % kSeenLanes, {seen, sizeof seen});
}

void TableLoad::CheckTwice() const {
  struct Seen {
    int64_t key;
    uint64_t number;
    uint32_t table, file;
  };
  std::vector<Seen> lane;
  for (size_t i = 0; i < seen_.lanes(); ++i) {
    lane.clear();
    RowSpool::Reader reader(seen_, i);
    for (std::string_view r; reader.Next(&r);)
      lane.push_back({LoadLe<int64_t>(r.data()), LoadLe<uint64_t>(r.data() + 8), LoadLe<uint32_t>(r.data() + 16),
                      LoadLe<uint32_t>(r.data() + 20)});
    std::stable_sort(lane.begin(), lane.end(), [](const Seen& a, const Seen& b) { return a.key != b.key ? a.key < b.key : a.table < b.table; });
    for (size_t k = 1; k < lane.size(); ++k) {
      const Seen &a = lane[k - 1], &b = lane[k];
      if (a.key != b.key || a.table != b.table) continue;
      const auto table = std::find_if(tables_.begin(), tables_.end(), [&](const auto& t) { return t.second.id == b.table; });
      throw Error(ErrorCode::kBadData, files_[b.file] + ": row " + std::to_string(b.number) + ": fid " +
                                           std::to_string(static_cast<uint64_t>(b.key)) + " of table '" + table->first +
                                           "' has come before, as row " + std::to_string(a.number) + " of " + files_[a.file]);
    }
  }
}

void TableLoad::Finish() {
  CheckTwice();
  for (auto& set : sets_) set->Finish();
}

void TableLoad::Publish() {
  for (auto& set : sets_) set->Publish();
}

std::map<std::string, uint64_t> TableLoad::rows() const {
  std::map<std::string, uint64_t> rows;
  for (const auto& [name, table] : tables_) rows[name] = table.rows;
  return rows;
}

}  // namespace monolith
