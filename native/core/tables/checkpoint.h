// Checkpoint files of tables (spec 30, 13 and 14). The set of all tables of a model is saved by MultiTable::Save.
#pragma once

#include <string>

#include "core/tables/table.h"

namespace monolith {

// One table as plain TFRecords of EntryDump: <basename>-%05d-of-%05d. Shards: 0 or less chooses by size.
void SaveTable(const EmbeddingTable& table, const std::string& basename, int shards);
// Clears the table first. Throws Error naming file and offset; the table is then empty.
void RestoreTable(EmbeddingTable* table, const std::string& basename);

// How many shards a table of `size` rows is saved in when nobody says.
int AutoShards(size_t size);

}  // namespace monolith
