#include <algorithm>
#include <map>
#include <mutex>

#include "core/base/error.h"
#include "core/tables/save_chain.h"
#include "core/tables/background_eviction.h"
#include "core/tables/table.h"

namespace monolith {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<MultiTable>> tables;
};

Registry& TheRegistry() {
  static Registry* registry = new Registry;  // outlives every thread that may still use a table
  return *registry;
}

std::vector<TableConfig> Sorted(std::vector<TableConfig> configs) {
  std::sort(configs.begin(), configs.end(), [](const TableConfig& a, const TableConfig& b) { return a.name < b.name; });
  return configs;
}

void CheckSame(const std::string& shared_name, const MultiTable& there, const std::vector<TableConfig>& configs) {
  bool same = there.num_tables() == configs.size();
  std::string differs = "it has " + std::to_string(there.num_tables()) + " tables, not " + std::to_string(configs.size());
  for (size_t i = 0; same && i < configs.size(); ++i) {
    same = there.table(i).config() == configs[i];
    differs = "table '" + configs[i].name + "' differs";
  }
  if (!same)
    throw Error(ErrorCode::kConfig, "tables '" + shared_name + "' exist in this process with other configs: " + differs +
                                        "; use another name or close them first");
}

}  // namespace

MultiTable::~MultiTable() = default;

MultiTable::MultiTable(std::vector<TableConfig> configs) : chain_(std::make_unique<SaveChain>()) {
  for (const TableConfig& c : Sorted(std::move(configs))) {
    if (!tables_.empty() && tables_.back()->config().name == c.name)
      throw Error(ErrorCode::kConfig, "two tables are named '" + c.name + "'");
    tables_.push_back(std::make_unique<EmbeddingTable>(c));
  }
  std::vector<BackgroundEviction::Job> jobs;
  for (const auto& t : tables_) {
    const TableConfig& c = t->config();
    if (c.enable_feature_eviction && c.feature_evict_every_n_hours > 0)
      jobs.push_back({int64_t{c.feature_evict_every_n_hours} * 3600, [table = t.get()] { table->Evict(table->max_update_ts()); }});
  }
  if (!jobs.empty()) eviction_ = std::make_unique<BackgroundEviction>(std::move(jobs));
}

int MultiTable::IndexOf(const std::string& name) const {
  const auto it = std::lower_bound(tables_.begin(), tables_.end(), name,
                                   [](const auto& t, const std::string& n) { return t->config().name < n; });
  return it != tables_.end() && (*it)->config().name == name ? static_cast<int>(it - tables_.begin()) : -1;
}

std::shared_ptr<MultiTable> OpenTables(const std::string& shared_name, const std::vector<TableConfig>& configs) {
  Registry& r = TheRegistry();
  std::lock_guard<std::mutex> lock(r.mutex);
  std::shared_ptr<MultiTable>& there = r.tables[shared_name];
  if (there) {
    CheckSame(shared_name, *there, Sorted(configs));
    return there;
  }
  try {
    there = std::make_shared<MultiTable>(configs);
  } catch (...) {
    r.tables.erase(shared_name);
    throw;
  }
  return there;
}

std::shared_ptr<MultiTable> FindTables(const std::string& shared_name) {
  Registry& r = TheRegistry();
  std::lock_guard<std::mutex> lock(r.mutex);
  const auto it = r.tables.find(shared_name);
  return it == r.tables.end() ? nullptr : it->second;
}

void CloseTables(const std::string& shared_name) {
  Registry& r = TheRegistry();
  std::lock_guard<std::mutex> lock(r.mutex);
  r.tables.erase(shared_name);
}

}  // namespace monolith
